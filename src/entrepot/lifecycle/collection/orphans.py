"""The store against the metadata, both ways: what crashes and lost races left, which no entry of the queue tells of.

Files that no row speaks of, rows whose bytes are not there, blobs that nothing needs and nobody queued, claims whose
collector died, contents without a manifest. It reads everything, in pieces, and remembers how far it came; what it
finds it queues for the collector, which decides again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from entrepot.lifecycle.collection.absence import Absence
from entrepot.lifecycle.collection.blobs import ripe_at, unclaimed
from entrepot.lifecycle.collection.model import Collecting
from entrepot.metadata import blobs, clock, collecting, manifests, review, settings
from entrepot.metadata.collecting import BlobUnderReview
from entrepot.metadata.database import Transaction
from entrepot.registry.ports import StoredBlob
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

T = TypeVar("T")

_PIECE: Final = 500
#: A collector that is not switched off comes sooner.
_OVERDUE_SECONDS: Final = 3600.0
#: Files and rows between two notes of how far it came.
_NOTED: Final = 10_000


@dataclass(slots=True, kw_only=True)
class OrphanTally:
    """What a comparison found."""

    looked_at: int = 0
    files: int = 0  #: that no row speaks of; they are queued
    missing: int = 0  #: blobs whose bytes are not there, or not all of them
    queued: int = 0  #: blobs that nothing needs, and claims of dead collectors
    contents: int = 0  #: bytes of manifests that no repository has


@dataclass(frozen=True, slots=True)
class Orphans:
    """Compares, and queues what it finds."""

    work: Collecting
    quarantine: Quarantine

    async def run(self, progress: Progress, tally: OrphanTally | None = None) -> OrphanTally:
        """Compare everything; one that was broken off goes on where it was.

        Raises:
            CollectionOff: Nothing may be collected now.
            Stopped: Somebody asked for an end.
        """
        tally = tally or OrphanTally()
        await self._files(progress, tally)
        await self._rows(progress, tally)
        await self._contents(progress, tally)
        return tally

    async def _files(self, progress: Progress, tally: OrphanTally) -> None:
        cursor = await _Cursor.open(self.work, "files")
        async for files in _pieces(self.work.store.keys(cursor.at)):
            await self._turn(progress, tally, len(files))
            tally.files += await self._queue_files(files)
            await cursor.move(files[-1].key, len(files))
        await cursor.close()

    async def _queue_files(self, files: Sequence[StoredBlob]) -> int:
        now = clock.now()
        ripe = [file.key for file in files if ripe_at(file, self.work.grace_seconds) <= now]
        unknown = sorted(await unclaimed(self.work.metadata, ripe)) if ripe else []
        if unknown:
            queue = partial(review.add_files, digests=unknown, after=now, reason="no row speaks of it")
            await self.work.metadata.write(queue, name="queue files")
        return len(unknown)

    async def _rows(self, progress: Progress, tally: OrphanTally) -> None:
        cursor = await _Cursor.open(self.work, "rows")
        last, absence = int(cursor.at or 0), Absence(self.work.store, self.quarantine)
        while rows := await collecting.blobs_after(self.work.metadata, last, limit=_PIECE):
            await self._turn(progress, tally, len(rows))
            tally.missing += await absence.look(rows)
            tally.queued += await self._queue_blobs(rows)
            last = rows[-1].id
            if not absence.is_undecided:  # else whoever goes on from here would pass them over
                await cursor.move(str(last), len(rows))
        absence.end()
        await cursor.close()

    async def _queue_blobs(self, rows: Sequence[BlobUnderReview]) -> int:
        """Queue what nothing needs and what no entry tells of: it has no time yet, or one that is long over."""
        late = clock.after(-_OVERDUE_SECONDS)
        unneeded = [row for row in rows if row.state != blobs.DELETING and not row.referenced]
        forgotten = [row.id for row in unneeded if row.review_after is None]
        overdue = [row.id for row in unneeded if row.review_after is not None and row.review_after < late]
        overdue += [row.id for row in rows if row.state == blobs.DELETING]
        if forgotten or overdue:
            await self.work.metadata.write(partial(self._queue, forgotten, overdue), name="queue blobs")
        return len(forgotten) + len(overdue)

    async def _queue(self, forgotten: Sequence[int], overdue: Sequence[int], tx: Transaction) -> None:
        """Where there is an entry after all, the second finds nothing left to do."""
        after = clock.after(self.work.grace_seconds)
        await blobs.queue(tx, forgotten, review_after=after)
        await review.add(tx, review.BLOB, forgotten, after=after, reason="nothing needs it")
        await review.add(tx, review.BLOB, overdue, after=clock.now(), reason="nobody came for it")

    async def _contents(self, progress: Progress, tally: OrphanTally) -> None:
        last = ""
        while found := await manifests.contents_after(self.work.metadata, last, limit=_PIECE):
            await self._turn(progress, tally, len(found))
            for digest, used in found.items():
                if not used and await self.work.metadata.write(partial(_drop_content, digest), name="drop contents"):
                    tally.contents += 1
            last = max(found)

    async def _turn(self, progress: Progress, tally: OrphanTally, count: int) -> None:
        """Let others have their turn, and look whether this may go on."""
        await self.work.require_open()
        tally.looked_at += count
        await progress.step(tally.looked_at)


async def _drop_content(digest: str, tx: Transaction) -> bool:
    dropped = await manifests.remove_content(tx, digest)
    if dropped:
        await review.add_files(tx, [digest], after=clock.now(), reason="no manifest of it")
    return dropped


async def _pieces(items: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    piece: list[T] = []
    async for item in items:
        piece.append(item)
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


@dataclass(slots=True)
class _Cursor:
    """How far a walk came, remembered now and then."""

    work: Collecting
    key: str
    at: str
    since: int = 0

    @classmethod
    async def open(cls, work: Collecting, name: str) -> _Cursor:
        key = f"collection-{name}"
        return cls(work, key, await settings.find(work.metadata, key) or "")

    async def move(self, to: str, count: int) -> None:
        self.at = to
        self.since += count
        if self.since >= _NOTED:
            self.since = 0
            await self.work.metadata.write(lambda tx: settings.put(tx, self.key, to), name="note a cursor")

    async def close(self) -> None:
        if await settings.find(self.work.metadata, self.key) is not None:
            await self.work.metadata.write(lambda tx: settings.remove(tx, self.key), name="note a cursor")
