"""Removing for good what the trash has kept for its time, or has to give up earlier.

It works in small transactions, each of which takes away whole entries or a step of one, so that it can be stopped
anywhere and goes on from what is left. What it removes is queued for collection, which frees the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.lifecycle.actor import INTERNAL
from entrepot.lifecycle.trash.kept_dependencies import keep_with_index
from entrepot.lifecycle.trash.locations import drop_if_empty
from entrepot.metadata import clock, clock_check, events
from entrepot.metadata.contents import manifests, repository_blobs
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.engine.low_priority_writes import write_behind
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.registry import project_deletion, repository_removal
from entrepot.registry.model import Actor
from entrepot.registry.project_deletion import ProjectDeletion
from entrepot.registry.repository_removal import Emptied
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import remove_for_good
from entrepot.telemetry.progress import Progress

#: Entries that are read at once, and those of one transaction.
_AT_ONCE: Final = 20
_ENTRIES: Final = 4
_LAPSED: Final = 100
_FOR_EVER: Final = 2**63 - 1


@dataclass(slots=True)
class Expired:
    """What was removed for good."""

    entries: int = 0
    manifests: int = 0
    bytes: int = 0  #: of blobs that nothing refers to any more: collection frees them after the grace


@dataclass(frozen=True, slots=True)
class Expiry:
    """Empties the trash."""

    metadata: Database
    settings: RegistrySettings
    deletion: ProjectDeletion

    async def expire(self, progress: Progress, *, everything: bool = False, release: int = 0) -> Expired:
        """Remove for good what is past its time.

        While deleting is switched off, or the registry is read-only, nothing is removed. While the clock is in doubt,
        only what somebody asks for with `everything` is.

        Args:
            progress: Watches; counts entries and manifests.
            everything: Also what is not.
            release: Also what would be next, the oldest first, until this many bytes are left to collection.

        Raises:
            Stopped: Somebody asked for it to end; what was removed stays removed.
        """
        run = _Run(self, progress)
        if self._may_remove and (everything or await clock_check.reason(self.metadata) is None):
            until = _FOR_EVER if everything else clock.now()
            while found := await trash.due(self.metadata, until=until, limit=_AT_ONCE):
                await run.remove(found)
            while run.done.bytes < release and (found := await trash.due(self.metadata, until=_FOR_EVER, limit=1)):
                await run.remove(found)
            await run.drop_lapsed()
        return run.done

    async def due(self, *, everything: bool = False) -> int:
        """Count what `expire` would remove now."""
        if not self._may_remove:
            return 0
        return await trash.count_due(self.metadata, until=_FOR_EVER if everything else clock.now())

    @property
    def _may_remove(self) -> bool:
        return self.settings.delete_enabled and not self.settings.read_only()

    async def remove(
        self, entries: Sequence[TrashEntry], progress: Progress, *, by: Actor = INTERNAL, strictly: bool = False
    ) -> Expired:
        """Remove for good what these entries name, whatever their time.

        What an index that stays in the trash lists is kept with that, unless `strictly`.

        Raises:
            Stopped: Somebody asked for it to end; what was removed stays removed.
        """
        run = _Run(self, progress, by, strictly=strictly)
        await run.remove(entries)
        return run.done


class _Run:
    """One time of emptying, and what it has done."""

    def __init__(self, expiry: Expiry, progress: Progress, by: Actor = INTERNAL, *, strictly: bool = False) -> None:
        self._metadata = expiry.metadata
        self._deletion = expiry.deletion
        self._grace = expiry.settings.grace_seconds
        self._progress = progress
        self._by = by
        self._strictly = strictly
        self.done = Expired()

    async def remove(self, found: Sequence[TrashEntry]) -> None:
        with with_reserve(Reserve.RELEASED):
            await self._remove(found)

    async def _remove(self, found: Sequence[TrashEntry]) -> None:
        small = [entry for entry in found if entry.kind in (trash.TAG, trash.MANIFEST)]
        for start in range(0, len(small), _ENTRIES):
            work = partial(self._small, small[start : start + _ENTRIES])
            await self._add(await write_behind(self._metadata, work, name="empty trash"))
        for entry in found:
            if entry.kind == trash.REPOSITORY:
                await self._repository(entry)
            elif entry.kind == trash.PROJECT:
                await self._project(entry)

    async def drop_lapsed(self) -> None:
        """Forget what repositories let go of, once no push can need it any more."""
        work = partial(repository_blobs.drop_lapsed, limit=_LAPSED)
        while await write_behind(self._metadata, work, name="drop lapsed blobs") == _LAPSED:
            await self._add(Expired())

    async def _small(self, entries: Sequence[TrashEntry], tx: Transaction) -> Expired:
        """Remove tags and manifests by one transaction."""
        done = Expired(entries=len(entries))
        for entry in entries:
            await trash.remove(tx, [entry.id])
            if entry.place_id is not None and entry.digest is not None:
                freed = await self._manifest(tx, entry, entry.place_id, entry.digest)
                done.manifests += int(freed is not None)
                done.bytes += freed or 0
        return done

    async def _repository(self, entry: TrashEntry) -> None:
        found = await self._metadata.write(partial(self._begin_repository, entry), name="begin to empty")
        if found is not None:
            await self._deletion.repositories.empty(found, self._on_step)
            await self._add(Expired(entries=1))

    async def _project(self, entry: TrashEntry) -> None:
        if await self._metadata.write(partial(self._begin_project, entry), name="begin to empty"):
            await self._deletion.empty(entry.project_id, self._on_step)
            await self._add(Expired(entries=1))

    async def _on_step(self, step: Emptied) -> None:
        await self._add(Expired(manifests=step.manifests, bytes=step.bytes))

    async def _add(self, more: Expired) -> None:
        self.done.entries += more.entries
        self.done.manifests += more.manifests
        self.done.bytes += more.bytes
        await self._progress.step(self.done.entries + self.done.manifests)

    async def _begin_repository(self, entry: TrashEntry, tx: Transaction) -> RepositoryRecord | None:
        if await self._is_another(tx, entry):
            return None
        found = None if entry.place_id is None else await repository_removal.begin(tx, entry.place_id)
        await self._note(tx, entry, goes=found is not None)
        return found

    async def _begin_project(self, entry: TrashEntry, tx: Transaction) -> bool:
        if await self._is_another(tx, entry):
            return False
        goes = await project_deletion.begin(tx, entry.project_id)
        await self._note(tx, entry, goes=goes)
        return goes

    async def _is_another(self, tx: Transaction, entry: TrashEntry) -> bool:
        """Tell whether what lies there has another entry by now: it was restored, and deleted again for a new time."""
        return await trash.find(tx, entry.id) is None

    async def _note(self, tx: Transaction, entry: TrashEntry, *, goes: bool) -> None:
        """Say in the audit log that something begins to go; forget the entry where it was restored meanwhile."""
        if not goes:
            await trash.remove(tx, [entry.id])
            return
        await trash.end(tx, entry.id)
        project, repository = entry.project, entry.repository
        subject = f"{entry.kind}:{repository or project}"
        await events.add(tx, events.EXPIRE, by=self._by, project=project, repository=repository, subject=subject)

    async def _manifest(self, tx: Transaction, entry: TrashEntry, place_id: int, digest: str) -> int | None:
        """Remove the manifest of an entry that was removed itself, unless another entry or an index beside it keeps it.

        Return how many bytes nothing refers to any more; None when it stays, or was not there.
        """
        if await trash.of_digest(tx, place_id, digest):
            return None
        found = await manifests.locked(tx, place_id, digest)
        if found is not None and not self._strictly and await keep_with_index(tx, entry):
            return None
        freed = None
        if found is not None:
            freed = await remove_for_good(tx, found, project_id=entry.project_id, grace_seconds=self._grace)
            await events.add(tx, events.EXPIRE, by=self._by, repository=entry.repository, digest=digest)
        await drop_if_empty(tx, place_id)
        return freed
