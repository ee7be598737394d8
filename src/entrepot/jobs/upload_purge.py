"""Removes uploads that nobody finished (`storage.maintenance.uploadpurging`).

An upload is abandoned when for the given age neither its row nor its file was touched: a client may send for hours
without ending a request, and the file shows it. Files without a row, and rows without a file, go as well. So do the
uploads that registry:2 left in a folder which is ours now, by registry:2's own rule (`adoption.leftovers`).

In an object store it is the row alone that says how old an upload is. What a push put there that belongs to no upload
and is no blob, since a process died or an answer was lost, goes after a day.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from entrepot.adoption.leftovers import Leftovers, remove
from entrepot.jobs.run import JobRun
from entrepot.metadata import clock
from entrepot.metadata.contents import upload_sessions
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import collection
from entrepot.registry import ports
from entrepot.registry.ports import BlobStore, UploadProgress
from entrepot.registry.uploads import became_blob
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.progress import Progress

_log = logging.getLogger(__name__)

_BATCH = 500
_STRAY_SECONDS: Final = 24 * 3600.0
UPLOAD_PURGING: Final = JobTraits(
    name="upload-purging",
    title="Remove uploads that nobody finished",
    parameters={"dry_run": False},
    right="garbage-collection:create",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPurging:
    """The job."""

    metadata: Database
    work: Database
    store: BlobStore
    read_only: Callable[[], bool]
    age: float
    doubt: Callable[[], Awaitable[str | None]]  #: says why nothing may be removed for its age now
    leftovers: Leftovers | None = None
    strays: Strays | None = None
    dry_run: bool = False

    async def run(self, run: JobRun) -> dict[str, object]:
        """Do one run of the kind."""
        dry_run = self.dry_run or bool(run.parameters["dry_run"])
        done: dict[str, object] = {"purged": await self.purge(run, dry_run=dry_run), "dry_run": dry_run}
        if self.strays is not None and not self.read_only() and await self.doubt() is None:
            done["strays"] = await self.strays.purge(run, dry_run=dry_run)
        return done

    async def purge(self, progress: Progress, *, dry_run: bool = False) -> int:
        """Remove what is abandoned now; returns how many uploads that were.

        Raises:
            Stopped: Somebody asked it to end.
        """
        if self.read_only():
            await progress.say("uploads are not purged while the registry is read-only")
            return 0
        if (reason := await self.doubt()) is not None:
            await progress.say(f"uploads are not purged: {reason}")
            return 0
        rows = await self.abandoned()
        folders = await self._leftovers()
        total, purged = len(rows) + len(folders), 0
        for ids in _batches(rows):
            await progress.step(purged, total)
            await (_list(ids, progress) if dry_run else self._remove(ids))
            purged += len(ids)
        for folder in folders:
            await progress.step(purged, total)
            await (_list([str(folder)], progress) if dry_run else asyncio.to_thread(remove, folder))
            purged += 1
        await progress.step(purged, total)
        await progress.say(f"{'would purge' if dry_run else 'purged'} {purged} uploads")
        _log.info("purged uploads", extra={"count": purged, "dry_run": dry_run})
        return purged

    async def abandoned(self) -> list[str]:
        """List the uploads that nobody touched for the given age."""
        before = clock.after(-self.age)
        files = dict(await self.store.uploads())
        idle = await self._idle(before)
        young = {upload for upload, touched in files.items() if touched >= before}
        known: set[str] = set()
        for ids in _batches(files.keys() - young):
            known |= await upload_sessions.known(self.work, ids)
        orphans = files.keys() - young - known
        return sorted((set(idle) - young) | orphans)

    async def _idle(self, before: int) -> list[str]:
        return await upload_sessions.idle(self.work, before=before, limit=1_000_000)

    async def _leftovers(self) -> list[Path]:
        return [] if self.leftovers is None else await asyncio.to_thread(self.leftovers.abandoned, self.age)

    async def _remove(self, ids: list[str]) -> None:
        if self.store.has_state:
            taken = await self.work.write(
                partial(upload_sessions.take, ids=ids, before=clock.after(-self.age)), name="purge uploads"
            )
            for upload, state in taken.items():
                if await became_blob(self.metadata, upload):
                    continue
                await self.store.cancel_upload(upload, known=UploadProgress(offset=0, hashed=None, state=state))
            return
        for upload in ids:
            await self.store.cancel_upload(upload)

        async def forget(tx: Transaction) -> None:
            await upload_sessions.remove(tx, ids)

        await self.work.write(forget, name="purge uploads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """What a push put into an object store that belongs to nobody."""

    metadata: Database
    work: Database
    store: ports.Leftovers
    #: Seconds: whoever put something there has written it into a row long before.
    age: float = _STRAY_SECONDS

    async def purge(self, progress: Progress, *, dry_run: bool = False) -> int:
        """Remove them; returns how many there were.

        Raises:
            Stopped: Somebody asked it to end.
        """
        seen = purged = 0
        async for some in _pieces(self.store.leftovers(before=clock.after(-self.age))):
            strays = await self._unknown(some)
            for stray in strays:
                _log.info("a stray", extra={"key": stray.key, "size": stray.size, "dry_run": dry_run})
            if not dry_run:
                await asyncio.gather(*(self.store.discard(stray) for stray in strays))
            seen, purged = seen + len(some), purged + len(strays)
            await progress.step(seen)
        await progress.say(f"{'would remove' if dry_run else 'removed'} {purged} strays of the object store")
        return purged

    async def _unknown(self, some: Sequence[ports.Leftover]) -> list[ports.Leftover]:
        """Find those that nobody knows: uploads are asked first, whose row goes when the blob's is there."""
        states = await upload_sessions.states(self.work, sorted({one.upload_id for one in some}))
        free = [one for one in some if one.key not in states.get(one.upload_id, "")]
        blobs = await collection.shared_keys(self.metadata, [one.key for one in free if not one.multipart])
        return [one for one in free if one.multipart or one.key not in blobs]


async def _pieces(found: AsyncIterator[ports.Leftover]) -> AsyncIterator[list[ports.Leftover]]:
    piece: list[ports.Leftover] = []
    async for one in found:
        piece.append(one)
        if len(piece) == _BATCH:
            yield piece
            piece = []
    if piece:
        yield piece


async def _list(uploads: list[str], progress: Progress) -> None:
    _log.info("these uploads would be purged", extra={"uploads": uploads})
    for upload in uploads:
        await progress.say(f"would purge {upload}")


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(ids)
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
