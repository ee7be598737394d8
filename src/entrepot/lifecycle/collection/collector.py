"""One round of collection: everything that is due by now, some at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.lifecycle.collection.blobs import claim_blobs, claim_files
from entrepot.lifecycle.collection.manifests import review_manifests
from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.lifecycle.collection.sweep import sweep
from entrepot.metadata import clock
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import review
from entrepot.metadata.lifecycle.review import ReviewEntry
from entrepot.telemetry.progress import Progress


@dataclass(frozen=True, slots=True)
class Collector:
    """Takes away what nothing needs. Several may run, in several processes: bytes are taken away by one at a time."""

    work: Collecting

    async def run(self, progress: Progress, tally: Tally | None = None) -> Tally:
        """Look at what is due when this begins. Whatever ends it early, the next run goes on from there.

        Args:
            progress: Counts the entries that were looked at.
            tally: Counts on here, so that what was done is known also when this is ended.

        Raises:
            CollectionOff: Nothing may be collected now, or not any more.
            Stopped: Somebody asked for an end.
            TimeoutError: Another process has the turn and does not give it back.
        """
        tally = tally or Tally()
        until = clock.now()
        total = await self._count(until)
        while True:
            await self.work.require_open()
            await progress.step(tally.reviewed, None if total is None else max(total, tally.reviewed))
            entries = await review.due(self.work.metadata, until=until, limit=self._batch_size())
            if not entries:
                return tally
            await self._batch(entries, tally)

    async def _batch(self, entries: Sequence[ReviewEntry], tally: Tally) -> None:
        begun = time.monotonic()
        await review_manifests(self.work, _of(entries, review.MANIFEST), tally)
        blobs, files = _of(entries, review.BLOB), _of(entries, review.FILE)
        if blobs or files:
            async with self.work.turn():
                await self._follow()
                await sweep(self.work, await claim_blobs(self.work, blobs), tally)
                await sweep(self.work, await claim_files(self.work, files), tally)
                await self.work.swept()
        tally.reviewed += len(entries)
        await self._slow_down(len(blobs) + len(files), time.monotonic() - begun)

    async def _follow(self) -> None:
        """Write what waits before anything is claimed: by that it may show that another registry had the folder.

        Raises:
            CollectionOff: It had.
        """
        await self.work.links.catch_up(await outbox.last_id(self.work.metadata))
        await self.work.require_open()

    async def _count(self, until: int) -> int | None:
        """Return how many entries there are; None where they are too many to be counted for a bar."""
        try:
            return (await review.backlog(self.work.metadata, until=until)).due
        except TookTooLong:
            return None

    def _batch_size(self) -> int:
        rate = self.work.limits.rate
        return self.work.limits.blobs if rate <= 0 else max(1, min(self.work.limits.blobs, int(rate)))

    async def _slow_down(self, count: int, seconds: float) -> None:
        if self.work.limits.rate > 0:
            await asyncio.sleep(max(0.0, count / self.work.limits.rate - seconds))


def _of(entries: Sequence[ReviewEntry], kind: str) -> list[ReviewEntry]:
    return [entry for entry in entries if entry.kind == kind]
