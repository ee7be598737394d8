"""The trash as people use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from entrepot.access.model import Principal
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.reachable_projects import reach_of
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.purge import Purging
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.metadata.contents import projects
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.lifecycle import trash, trash_lists, trash_usage
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Stopped, Unwatched

LIST: Final = Permission("trash:list")
#: Seconds for which one request empties; the next one goes on.
_PATIENCE: Final = 10.0
_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Emptied:
    """What one request removed for good, and whether something is left."""

    manifests: int
    is_left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trash:
    """The use cases about the trash; whether the caller may, the caller's side has asked before."""

    metadata: Database
    policy: Policy
    settings: RegistrySettings
    expiry: Expiry
    restoring: Restoring
    purging: Purging
    clock: Callable[[], float] = time.monotonic

    async def page(self, principal: Principal, selection: Selection) -> Listed[TrashEntry]:
        """Return a page of what was deleted in projects whose trash a principal may list."""
        reach = await reach_of(self.policy, principal, LIST)
        if reach.everywhere:
            return await trash_lists.every(self.metadata, selection)
        return await trash_lists.visible(self.metadata, selection, names=reach.names)

    async def of_project(self, project: ProjectRecord, selection: Selection) -> Listed[TrashEntry]:
        """Return a page of what was deleted in a project."""
        return await trash_lists.of_project(self.metadata, project.id, selection)

    async def find(self, entry_id: int) -> TrashEntry | None:
        """Return an entry, if there is one of this number."""
        return await trash.find(self.metadata, entry_id)

    async def project_of(self, entry: TrashEntry) -> ProjectRecord | None:
        """Return the project in which something was deleted, also if that is in the trash itself."""
        found = await projects.find_by_id(self.metadata, entry.project_id)
        return found or await projects.find_deleted(self.metadata, entry.project_id)

    async def successor_of(self, entry: TrashEntry) -> ProjectRecord | None:
        """Return the other project that has the name now, into which what was deleted from the old one comes back."""
        found = await projects.find(self.metadata, entry.project)
        return None if found is None or found.id == entry.project_id or entry.kind == trash.PROJECT else found

    async def restore(self, entry: TrashEntry, *, replace: bool, by: Actor, into: int | None = None) -> Restored:
        """Restore one entry with what went with it; see `Restoring`."""
        return await self.restoring.restore(entry, replace=replace, by=by, into=into)

    async def empty(self, project: ProjectRecord | None, *, by: Actor) -> Emptied:
        """Remove for good what is in the trash of a project, or of all; as much as a request has time for.

        A server beside this process may be at the same things: what it takes away meanwhile counts, too.

        Raises:
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        patience = _Patience(self.clock() + _PATIENCE, self.clock)
        before, count, is_left = await self._count(project), 0, False
        try:
            while found := await self._some(project):
                count += (await self.expiry.remove(found, patience, by=by)).manifests
        except Stopped:
            is_left = bool(await self._some(project))
        return Emptied(max(count, before - await self._count(project)), is_left)

    async def _count(self, project: ProjectRecord | None) -> int:
        try:
            return await trash_usage.count_manifests(self.metadata, None if project is None else project.id)
        except TookTooLong:
            return 0

    async def _some(self, project: ProjectRecord | None) -> list[TrashEntry]:
        if project is None:
            return await trash.due(self.metadata, until=2**63 - 1, limit=_AT_ONCE)
        return await trash.some_of_project(self.metadata, project.id, limit=_AT_ONCE)


class _Patience(Unwatched):
    """Stops work that has taken long enough for one request."""

    def __init__(self, deadline: float, clock: Callable[[], float]) -> None:
        self._deadline = deadline
        self._clock = clock

    async def step(self, done: int, total: int | None = None) -> None:
        """Look at the clock."""
        await super().step(done, total)
        if self._clock() > self._deadline:
            raise Stopped
