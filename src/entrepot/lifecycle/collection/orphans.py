"""The store against the metadata, both ways: what crashes and lost races left, which no entry of the queue tells of.

Files that no row speaks of, rows whose bytes are not there, blobs that nothing needs and nobody queued, claims whose
collector died, contents without a manifest. It reads everything, at once or in pieces that go on where the last one
came to, and remembers how far it came; what it finds it queues for the collector, which decides again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from entrepot.lifecycle.collection.blobs import find_file, ripe_at, unclaimed
from entrepot.lifecycle.collection.missing_bytes import Absence
from entrepot.lifecycle.collection.model import Collecting
from entrepot.metadata import clock, settings
from entrepot.metadata.contents import blobs, manifests
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import collection, review
from entrepot.metadata.lifecycle.collection import BlobUnderReview
from entrepot.oci.digest import Digest
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress

T = TypeVar("T")

_BY: Final = "collection"
_PIECE: Final = 500
#: A collector that is not switched off comes sooner.
_OVERDUE_SECONDS: Final = 3600.0
#: Files and rows between two notes of how far it came.
_NOTED: Final = 10_000
#: The settings that say how far the last comparison of everything came, and the last one in pieces.
_WHOLE: Final = "collection-whole"
_IN_PIECES: Final = "collection-pieces"


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
        place = await _Place.open(self.work, _WHOLE)
        return await self._compare(place, progress, tally or OrphanTally())

    async def some(self, progress: Progress, most: int, tally: OrphanTally | None = None) -> OrphanTally:
        """Compare so many files and rows, little more, from where the last one came to; no more than there are.

        Raises:
            CollectionOff: Nothing may be collected now.
            Stopped: Somebody asked for an end.
        """
        place = await _Place.open(self.work, _IN_PIECES)
        place.left = most
        return await self._compare(place, progress, tally or OrphanTally())

    async def is_fresh(self, seconds: float) -> bool:
        """Tell whether the last comparison in pieces ended, and began no longer ago than this.

        One that began in the future, as a clock that was set back told it, is repeated.
        """
        place = await _Place.open(self.work, _IN_PIECES)
        return place.is_at_beginning and clock.after(-seconds) < place.began_at <= clock.now()

    async def _compare(self, place: _Place, progress: Progress, tally: OrphanTally) -> OrphanTally:
        parts = (("files", self._files), ("rows", self._rows), ("contents", self._contents))
        if place.is_at_beginning:
            place.began_at = clock.now()
        for name, part in parts:
            if place.part in ("", name):
                place.part = name
                if not await part(place, progress, tally):
                    await place.note()
                    return tally
                place.part = place.at = ""
        await place.close()
        return tally

    async def _files(self, place: _Place, progress: Progress, tally: OrphanTally) -> bool:
        """Look for files that no row speaks of; False when it is enough for now.

        Objects under names of their own may belong to open uploads: the purging of uploads looks after those that
        nobody knows. Here they show which blobs have lost theirs.
        """
        listed = False
        async with aclosing(_pieces(self.work.store.keys(place.at))) as pieces:
            async for files in pieces:
                await self._turn(progress, tally, len(files))
                tally.files += await self._queue_files([file for file in files if not layout.is_object(file.key)])
                if self.work.store.has_state:
                    listed = True
                    tally.missing += await self._objects(place.at, files[-1].key, {file.key for file in files})
                if not await place.move(files[-1].key, len(files)):
                    return False
        if listed:  # a bucket without anything in it is another one
            tally.missing += await self._objects(place.at, layout.BEHIND_OBJECTS, set())
        return True

    async def _objects(self, after: str, until: str, listed: set[str]) -> int:
        """Look for rows whose objects a listing does not have; it may be an old one, so each is asked for."""
        missing, until = 0, min(until, layout.BEHIND_OBJECTS)
        while rows := await blobs.stored_between(self.work.metadata, after, until, limit=_PIECE):
            for row in rows:
                is_lost = row.state in (blobs.LIVE, blobs.MARKED) and row.storage_key not in listed
                if is_lost and await find_file(self.work.store, row.storage_key) is None:
                    missing += await self.quarantine.missing(Digest.parse(row.digest), "its object is gone", by=_BY)
            after = rows[-1].storage_key
        return missing

    async def _queue_files(self, files: Sequence[StoredBlob]) -> int:
        now = clock.now()
        ripe = [file.key for file in files if ripe_at(file, self.work.grace_seconds) <= now]
        unknown = sorted(await unclaimed(self.work.metadata, ripe)) if ripe else []
        if unknown:
            theirs = await self.work.theirs([file for file in files if file.key in set(unknown)])
            unknown = [key for key in unknown if key not in theirs]
        if unknown:
            queue = partial(review.add_files, digests=unknown, after=now, reason="no row speaks of it")
            await self.work.metadata.write(queue, name="queue files")
        return len(unknown)

    async def _rows(self, place: _Place, progress: Progress, tally: OrphanTally) -> bool:
        """Look for rows whose bytes are gone or that nobody comes for; False when it is enough for now."""
        last, absence = int(place.at or 0), Absence(self.work.store, self.quarantine)
        while rows := await collection.blobs_after(self.work.metadata, last, limit=_PIECE):
            await self._turn(progress, tally, len(rows))
            # In an object store that would be a request for each of them; the listing has shown it.
            tally.missing += 0 if self.work.store.has_state else await absence.look(rows)
            tally.queued += await self._queue_blobs(rows)
            last = rows[-1].id
            if not absence.is_undecided and not await place.move(str(last), len(rows)):
                return False  # where it is undecided, whoever goes on from here would pass them over
            if absence.has_given_up and place.left is not None:
                break
        absence.end()
        return not absence.has_given_up or place.left is None

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

    async def _contents(self, place: _Place, progress: Progress, tally: OrphanTally) -> bool:
        """Look for bytes of manifests that no repository has; False when it is enough for now."""
        while found := await manifests.contents_after(self.work.metadata, place.at, limit=_PIECE):
            await self._turn(progress, tally, len(found))
            for digest, used in found.items():
                if not used and await self.work.metadata.write(partial(_drop_content, digest), name="drop contents"):
                    tally.contents += 1
            if not await place.move(max(found), len(found)):
                return False
        return True

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


async def _pieces(items: AsyncIterator[T]) -> AsyncGenerator[list[T]]:
    piece: list[T] = []
    async for item in items:
        piece.append(item)
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


@dataclass(slots=True)
class _Place:
    """How far a comparison came, remembered now and then."""

    work: Collecting
    key: str
    part: str = ""  #: files, rows or contents; empty at the beginning
    at: str = ""
    began_at: int = 0
    left: int | None = None  #: how many are to be looked at still; None for all
    _since: int = 0

    @classmethod
    async def open(cls, work: Collecting, key: str) -> _Place:
        """Return where the last comparison with this key came to."""
        known = json.loads(await settings.find(work.metadata, key) or "{}")
        return cls(work, key, known.get("part", ""), known.get("at", ""), known.get("began_at", 0))

    @property
    def is_at_beginning(self) -> bool:
        """Tell whether a comparison begins here."""
        return not self.part

    async def move(self, to: str, count: int) -> bool:
        """Go on to a file or row behind so many; False when that is enough for now."""
        self.at = to
        self._since += count
        if self._since >= _NOTED:
            await self.note()
        if self.left is not None:
            self.left -= count
        return self.left is None or self.left > 0

    async def close(self) -> None:
        """Note that everything was looked at."""
        self.part = self.at = ""
        await self.note()

    async def note(self) -> None:
        """Remember it."""
        self._since = 0
        text = json.dumps({"part": self.part, "at": self.at, "began_at": self.began_at})
        await self.work.metadata.write(lambda tx: settings.put(tx, self.key, text), name="note a comparison")
