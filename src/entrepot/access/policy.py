"""What the database says about rights, remembered for a moment.

Reads may be decided on what was true a few seconds ago; a refusal, and every write, is decided on what is committed
now. So a right that was given works at once, and one that was taken is gone within `max_age`.
Where nodes share a database on a server, each process sees within a second that rights were changed anywhere
(`metadata.changes`), and may remember for longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from entrepot.access.api_key_limits import limits_as_grants
from entrepot.access.decision import Rights, reaches
from entrepot.access.model import Audience, Grant, Principal, PrincipalKind, Visibility
from entrepot.access.patterns import Pattern
from entrepot.access.permissions import CATALOG, READING, Permission, expand, known
from entrepot.access.ttl_cache import Memory, Note
from entrepot.metadata import clock
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Reader
from entrepot.metadata.people import api_keys, principals
from entrepot.metadata.people import grants as grant_rows

#: Seconds for which an answer about a pull may be given again without asking (`web/pull_cache.py`).
ADMISSION_SECONDS = 1.0
#: Seconds for which a worker may decide reads on what it read before; with the above, a right is gone after five.
MAX_AGE = 5.0 - ADMISSION_SECONDS
#: The same where changes are followed: usually a right is gone after two seconds, at the latest after thirty.
FOLLOWED_MAX_AGE = 30.0 - ADMISSION_SECONDS
_LIMIT = 10_000


class Standing(Enum):
    """What a credential is worth."""

    GOOD = "good"
    MUST_CHANGE = "must change"  #: the password is one that somebody else made: good for nothing but changing it
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whether an account's credentials of one epoch still count, and until when (microseconds since the epoch)."""

    epoch: int
    disabled: bool
    expires_at: int | None
    must_change: bool = False

    def allows(self, epoch: int) -> bool:
        ended = self.expires_at is not None and clock.now() >= self.expires_at
        return not self.disabled and self.epoch == epoch and not ended


#: What whoever works on the data folder itself has: nothing can be kept from them.
_OPERATORS = Grant(permissions=known(), origin="command line")
_GONE = _Standing(epoch=-1, disabled=True, expires_at=None)


@dataclass(frozen=True, slots=True)
class _Key:
    """When an API key ends (microseconds since the epoch), and all that it may be used for."""

    end: int
    limits: tuple[Grant, ...] | None


_GONE_KEY = _Key(end=0, limits=())
_NEVER = 2**63 - 1


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
        self._rights: Memory[tuple[PrincipalKind, int | None, str | None], Rights] = Memory(
            limit=_LIMIT, seconds=max_age, clock=clock
        )
        self._all_rights: Memory[tuple[PrincipalKind, int | None], Rights] = Memory(
            limit=_LIMIT, seconds=max_age, clock=clock
        )
        self._standings: Memory[int, _Standing] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)
        self._keys: Memory[int, _Key] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)
        self._visible: Memory[str, Visibility] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)

    async def rights_of(self, principal: Principal, *, fresh: bool = False) -> Rights:
        """Return all grants that reach the principal: for lists, and for what people are told."""
        key = (principal.kind, principal.id)
        known = self._all_rights.find(key) if self._may_remember(fresh=fresh) else None
        if known is None:
            generation = self._all_rights.generation
            known = _rights(await grant_rows.list_for(self._database, principal.id), principal)
            self._all_rights.put(key, known, generation=generation)
        return known

    async def rights_on(self, principal: Principal, project: str | None, *, fresh: bool = False) -> Rights:
        """Return the grants that reach the principal, on the registry as a whole and on one project."""
        key = (principal.kind, principal.id, project)
        known = self._rights.find(key) if self._may_remember(fresh=fresh) else None
        if known is None:
            generation = self._rights.generation
            known = _rights(await grant_rows.list_here(self._database, principal.id, project), principal)
            self._rights.put(key, known, generation=generation)
        return known

    async def is_current(self, principal: Principal, *, fresh: bool = False) -> bool:
        """Tell whether the account behind a credential still exists, is enabled and has the credential's epoch.

        Where a key signed in, it must still exist, too.
        """
        return await self.standing(principal, fresh=fresh) is not Standing.REVOKED

    async def standing(self, principal: Principal, *, fresh: bool = False) -> Standing:
        """Return what the credential that a principal came with is worth; a no is asked again of what is true now."""
        if principal.id is None:
            return Standing.GOOD
        found = await self._standing(principal, principal.id, fresh=fresh)
        if found is Standing.GOOD or fresh:
            return found
        return await self._standing(principal, principal.id, fresh=True)

    async def _standing(self, principal: Principal, account: int, *, fresh: bool) -> Standing:
        if principal.key is not None and not await self._key_counts(principal.key, fresh=fresh):
            return Standing.REVOKED
        known = await self._account(account, fresh=fresh)
        if not known.allows(principal.epoch):
            return Standing.REVOKED
        return Standing.MUST_CHANGE if known.must_change and principal.key is None else Standing.GOOD

    async def end_of(self, principal: Principal) -> int | None:
        """Return when an account ends (microseconds since the epoch), as it is committed now; None: never."""
        return None if principal.id is None else (await self._account(principal.id, fresh=True)).expires_at

    async def _account(self, account: int, *, fresh: bool) -> _Standing:
        known = self._standings.find(account) if self._may_remember(fresh=fresh) else None
        if known is None:
            generation = self._standings.generation
            known = _standing_of(await principals.find_by_id(self._database, account))
            self._standings.put(account, known, generation=generation)
        return known

    async def visibility(self, project: str | None, *, fresh: bool = False) -> Visibility:
        """Return who may read a project without a grant; the registry as a whole is private."""
        if project is None:
            return Visibility.PRIVATE
        known = self._visible.find(project) if self._may_remember(fresh=fresh) else None
        if known is None:
            generation = self._visible.generation
            known = _visibility(await projects.find(self._database, project))
            self._visible.put(project, known, generation=generation)
        return known

    async def open_projects(self, principal: Principal) -> Collection[str]:
        """Return the names of the projects that the principal may read without a grant."""
        public = await projects.public_names(self._database)
        return public + await projects.internal_names(self._database) if principal.is_insider else public

    async def limits_of(self, key: int) -> tuple[Grant, ...] | None:
        """Return all that an API key may be used for: nothing once it is gone; None when it has no limits."""
        return (await self._key(key, fresh=False)).limits

    async def _key_counts(self, key: int, *, fresh: bool) -> bool:
        """Tell whether a key still exists and has not expired."""
        return clock.now() < (await self._key(key, fresh=fresh)).end

    async def _key(self, key: int, *, fresh: bool) -> _Key:
        known = self._keys.find(key) if self._may_remember(fresh=fresh) else None
        if known is None:
            generation = self._keys.generation
            known = _key_of(await api_keys.find_by_id(self._database, key))
            self._keys.put(key, known, generation=generation)
        return known

    async def read_ahead(self, principal: Principal, names: Collection[str]) -> None:
        """Read what decisions on several projects need, with two statements for all of them."""
        generations = self._rights.generation, self._visible.generation
        rights = _rights(await grant_rows.list_at(self._database, principal.id, names), principal)
        found = {project.name: project for project in await projects.find_all(self._database, names)}
        for name in names:
            self._rights.put((principal.kind, principal.id, name), rights, generation=generations[0])
            self._visible.put(name, _visibility(found.get(name)), generation=generations[1])

    def now(self) -> Policy:
        """Return what is committed now, read once: for a request that asks for many decisions at one moment."""
        moment = Policy(self._database, one_moment=True)
        moment._rights = Note(self._rights)
        moment._all_rights = Note(self._all_rights)
        moment._standings = Note(self._standings)
        moment._keys = Note(self._keys)
        moment._visible = Note(self._visible)
        return moment

    def remembers(self, principal: Principal, project: str | None) -> bool:
        """Tell whether a decision on a project, or on the registry as a whole, needs no question."""
        return (
            self._rights.find((principal.kind, principal.id, project)) is not None
            and (principal.id is None or self._standings.find(principal.id) is not None)
            and (principal.key is None or self._keys.find(principal.key) is not None)
            and (project is None or self._visible.find(project) is not None)
        )

    def _may_remember(self, *, fresh: bool) -> bool:
        return self._one_moment or not fresh

    async def reread(self) -> None:
        """Read everything anew, since some process has changed rights."""
        self.forget()

    def forget(self) -> None:
        """Read everything anew: for the process that has just changed something."""
        self._rights.clear()
        self._all_rights.clear()
        self._standings.clear()
        self._keys.clear()
        self._visible.clear()


def _rights(records: Iterable[grant_rows.GrantRecord], principal: Principal) -> Rights:
    grants = [grant for record in records if reaches(grant := grant_of(record, principal.id), principal)]
    return Rights.of([*grants, _OPERATORS] if principal.kind is PrincipalKind.OPERATOR else grants)


def needs_fresh(permission: Permission) -> bool:
    """Tell whether a permission is decided on what is committed now: everything but reading."""
    return permission not in READING and permission != CATALOG


def grant_of(record: grant_rows.GrantRecord, principal_id: int | None = None) -> Grant:
    """Turn a row into a grant, as it reaches one principal."""
    through = record.principal_kind == principals.GROUP and record.principal_id != principal_id
    return Grant(
        id=record.id,
        permissions=expand(record.permissions),
        role=record.role or "",
        project=record.project,
        repositories=None if record.repositories is None else Pattern(record.repositories),
        tags=None if record.tags is None else Pattern(record.tags),
        origin=record.origin,
        principal_id=record.principal_id,
        group=(record.principal_name or "") if through else "",
        audience=None if record.audience is None else Audience(record.audience),
        expires_at=record.expires_at,
    )


def _standing_of(record: principals.PrincipalRecord | None) -> _Standing:
    if record is None:
        return _GONE
    return _Standing(record.epoch, record.disabled, record.expires_at, record.must_change)


def _visibility(project: projects.ProjectRecord | None) -> Visibility:
    if project is None:
        return Visibility.PRIVATE
    if project.public:
        return Visibility.PUBLIC
    return Visibility.INTERNAL if project.internal else Visibility.PRIVATE


def _key_of(record: api_keys.ApiKeyRecord | None) -> _Key:
    if record is None:
        return _GONE_KEY
    return _Key(_NEVER if record.expires_at is None else record.expires_at, limits_as_grants(record.limits))
