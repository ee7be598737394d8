"""What the database says about rights, remembered for a moment.

Reads may be decided on what was true a few seconds ago; a refusal, and every write, is decided on what is committed
now. So a right that was given works at once, and one that was taken is gone within `max_age`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from entrepot.access.memory import Memory
from entrepot.access.model import Action, Audience, Grant, Principal
from entrepot.metadata import grants as grant_rows
from entrepot.metadata import principals, projects
from entrepot.metadata.database import Reader

#: Seconds for which a worker may decide reads on what it read before.
MAX_AGE = 5.0
_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whether an account's credentials of one epoch still count."""

    epoch: int
    disabled: bool


_GONE = _Standing(epoch=-1, disabled=True)


class Policy:
    """Grants, the standing of accounts, and the visibility of projects."""

    def __init__(
        self,
        database: Reader,
        *,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
        one_moment: bool = False,
    ) -> None:
        """Keep what to ask; `one_moment` means that what was read once counts as fresh."""
        self._database = database
        self._one_moment = one_moment
        self._grants: Memory[int | None, tuple[Grant, ...]] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)
        self._standings: Memory[int, _Standing] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)
        self._public: Memory[str, bool] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)

    async def grants_for(self, principal: Principal, *, fresh: bool = False) -> tuple[Grant, ...]:
        """Return the grants that name the principal or an audience."""
        known = self._grants.find(principal.id) if self._may_remember(fresh=fresh) else None
        if known is None:
            known = tuple(_grant(record) for record in await grant_rows.list_for(self._database, principal.id))
            self._grants.put(principal.id, known)
        return known

    async def is_current(self, principal: Principal, *, fresh: bool = False) -> bool:
        """Tell whether the account behind a credential still exists, is enabled and has the credential's epoch."""
        if principal.id is None:
            return True
        standing = self._standings.find(principal.id) if self._may_remember(fresh=fresh) else None
        if standing is None:
            record = await principals.find_by_id(self._database, principal.id)
            standing = _GONE if record is None else _Standing(record.epoch, record.disabled)
            self._standings.put(principal.id, standing)
        return not standing.disabled and standing.epoch == principal.epoch

    async def is_public(self, project: str, *, fresh: bool = False) -> bool:
        """Tell whether everybody may pull from a project."""
        known = self._public.find(project) if self._may_remember(fresh=fresh) else None
        if known is None:
            record = await projects.find(self._database, project)
            known = record is not None and record.public
            self._public.put(project, known)
        return known

    async def public_projects(self) -> Collection[str]:
        """Return the names of all public projects."""
        return await projects.public_names(self._database)

    def now(self) -> Policy:
        """Return what is committed now, read once: for a request that asks for many decisions at one moment."""
        return Policy(self._database, max_age=math.inf, one_moment=True)

    def _may_remember(self, *, fresh: bool) -> bool:
        return self._one_moment or not fresh

    def forget(self) -> None:
        """Read everything anew: for the process that has just changed something."""
        self._grants.clear()
        self._standings.clear()
        self._public.clear()


def needs_fresh(action: Action) -> bool:
    """Tell whether an action is decided on what is committed now: everything but reading."""
    return action not in (Action.PULL, Action.CATALOG)


def _grant(record: grant_rows.GrantRecord) -> Grant:
    return Grant(
        id=record.id,
        resource=record.resource,
        actions=frozenset(record.actions.split(",")),
        origin=record.origin,
        principal_id=record.principal_id,
        audience=None if record.audience is None else Audience(record.audience),
    )
