"""Removes uploads that nobody finished (`storage.maintenance.uploadpurging`).

An upload is abandoned when for the given age neither its row nor its file was touched: a client may send for hours
without ending a request, and the file shows it. Files without a row, and rows without a file, go as well. So do the
uploads that registry:2 left in a folder which is ours now, by registry:2's own rule (`adoption.leftovers`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from entrepot.adoption.leftovers import Leftovers, remove
from entrepot.metadata import clock, sessions
from entrepot.metadata.database import Database, Transaction
from entrepot.registry.ports import BlobStore

_log = logging.getLogger(__name__)

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPurging:
    """The job."""

    work: Database
    store: BlobStore
    read_only: Callable[[], bool]
    age: float
    leftovers: Leftovers | None = None
    dry_run: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Remove what is abandoned now."""
        if self.read_only():
            _log.info("uploads are not purged while the registry is read-only")
            return
        purged = 0
        for ids in _batches(await self.abandoned()):
            if stop.is_set():
                break
            await self._remove(ids)
            purged += len(ids)
        purged += await self._remove_leftovers(stop)
        _log.info("purged uploads", extra={"count": purged, "dry_run": self.dry_run})

    async def abandoned(self) -> list[str]:
        """List the uploads that nobody touched for the given age."""
        before = clock.after(-self.age)
        files = dict(await self.store.uploads())
        idle = await self._idle(before)
        young = {upload for upload, touched in files.items() if touched >= before}
        known: set[str] = set()
        for ids in _batches(files.keys() - young):
            known |= await sessions.known(self.work, ids)
        orphans = files.keys() - young - known
        return sorted((set(idle) - young) | orphans)

    async def _idle(self, before: int) -> list[str]:
        return await sessions.idle(self.work, before=before, limit=1_000_000)

    async def _remove_leftovers(self, stop: asyncio.Event) -> int:
        if self.leftovers is None:
            return 0
        folders = await asyncio.to_thread(self.leftovers.abandoned, self.age)
        if self.dry_run and folders:
            _log.info("these uploads would be purged", extra={"uploads": [str(folder) for folder in folders]})
            return len(folders)
        for number, folder in enumerate(folders):
            if stop.is_set():
                return number
            await asyncio.to_thread(remove, folder)
        return len(folders)

    async def _remove(self, ids: list[str]) -> None:
        if self.dry_run:
            _log.info("these uploads would be purged", extra={"uploads": ids})
            return
        for upload in ids:
            await self.store.cancel_upload(upload)

        async def forget(tx: Transaction) -> None:
            await sessions.remove(tx, ids)

        await self.work.write(forget, name="purge uploads")


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(ids)
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
