"""Quotas: how much each project may use, and what can go before a push is refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Final

from entrepot.access.faults import Invalid, NotFound
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata import events
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.lifecycle import trash, trash_usage
from entrepot.metadata.usage import quota_lists, usage
from entrepot.metadata.usage.quota_lists import QuotaRecord
from entrepot.metadata.usage.usage import FULL, SHARED, Limits, Standing
from entrepot.oci.errors import QuotaExceeded
from entrepot.registry.quota import require_repository, require_room
from entrepot.telemetry.progress import Unwatched

_MOST: Final = 2**62
#: Entries of the trash that go at a time to make room, and how often at most for one push.
_AT_ONCE: Final = 10
_ROUNDS: Final = 50


class Quotas:
    """The use cases about quotas; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database) -> None:
        """Keep where they are."""
        self._metadata = metadata

    async def page(self, selection: Selection) -> Listed[QuotaRecord]:
        """Return a page of the quotas of all projects."""
        return await quota_lists.page(self._metadata, selection)

    async def get(self, project_id: int) -> QuotaRecord:
        """Return the quota of a project.

        Raises:
            NotFound: There is no such project.
        """
        found = await quota_lists.find(self._metadata, project_id)
        if found is None:
            raise NotFound(f"there is no quota {project_id}: a quota has the number of its project")
        return found

    async def set(self, project_id: int, limits: Limits, *, by: Source) -> QuotaRecord:
        """Say how much a project may use; what it has stays, also where that is more.

        Raises:
            Invalid: A limit cannot be.
            NotFound: There is no such project.
        """
        _check(limits)
        record = await self.get(project_id)

        async def work(tx: Transaction) -> None:
            if await projects.find_by_id(tx, project_id) is None:
                raise NotFound(f"there is no project {record.project} any more")
            await usage.set_limits(tx, project_id, limits)
            subject = f"quota:{record.project}"
            await events.add(tx, events.UPDATE, by=by, project=record.project, subject=subject, detail=asdict(limits))

        await self._metadata.write(work, name="set quota")
        return await self.get(project_id)


def _check(limits: Limits) -> None:
    if limits.charge not in (SHARED, FULL):
        raise Invalid(f"charge must be {SHARED} or {FULL}")
    for name, value in asdict(limits).items():
        if isinstance(value, int) and not 0 <= value <= _MOST:
            raise Invalid(f"{name} must be from 0 to {_MOST}, or left out for no limit")
    for what in ("bytes", "manifests", "repositories"):
        hard, soft = getattr(limits, f"hard_{what}"), getattr(limits, f"soft_{what}")
        if hard is not None and soft is not None and soft > hard:
            raise Invalid(f"where pushes are told (soft_{what}) must not be above the limit itself (hard_{what})")


class ProjectQuota:
    """Asked within the transaction that restores from the trash (see `lifecycle.trash.quota`)."""

    async def require_room(self, tx: Transaction, project_id: int, /) -> None:
        """Go on only if a project stands within its limits.

        Raises:
            QuotaExceeded: It does not.
        """
        project = await projects.find_by_id(tx, project_id)
        if project is not None:
            require_room(project_id, project.name, await usage.find(tx, project_id))

    async def require_repository(self, tx: Transaction, project_id: int, /) -> None:
        """Go on only if a project has no more repositories than it may.

        Raises:
            QuotaExceeded: It has.
        """
        project = await projects.find_by_id(tx, project_id)
        if project is not None:
            await require_repository(tx, project_id, project.name)


class RoomInTrash:
    """Empties a project's trash, the oldest first, as far as a push needs the room."""

    def __init__(self, metadata: Database) -> None:
        """Wait for `use`: the expiry is built on the registry, and the registry asks us."""
        self._metadata = metadata
        self._expiry: Expiry | None = None

    def use(self, expiry: Expiry) -> None:
        """Say who removes things for good."""
        self._expiry = expiry

    async def __call__(self, refused: QuotaExceeded) -> bool:
        """Free as much of a project's quota as was missing; False, with nothing gone, when its trash has less."""
        if self._expiry is None or not self._expiry.settings.delete_enabled or not await self._helps(refused):
            return False
        before = await usage.find(self._metadata, refused.project)
        for _ in range(_ROUNDS):
            found = await trash.oldest_of(self._metadata, refused.project, limit=_AT_ONCE)
            if not found:
                return False
            await self._expiry.remove(found, Unwatched())
            if _frees(before, await usage.find(self._metadata, refused.project), refused):
                return True
        return False

    async def _helps(self, refused: QuotaExceeded) -> bool:
        """Tell whether the whole trash is as much as is missing: whoever may push may not empty it for nothing."""
        if not refused.excess and not refused.manifests:
            return False
        now = await usage.find(self._metadata, refused.project)
        try:
            held = await trash_usage.find(self._metadata, refused.project)
        except TookTooLong:
            return True
        return _frees(replace(now, counts=held), replace(now, counts=usage.Counts()), refused)


def _frees(before: Standing, after: Standing, refused: QuotaExceeded) -> bool:
    """Tell whether what went between two moments is what was missing."""
    manifests = before.counts.manifests - after.counts.manifests
    return before.bytes - after.bytes >= refused.excess and manifests >= refused.manifests
