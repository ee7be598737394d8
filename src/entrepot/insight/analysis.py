"""Adds up what is stored for whom: every blob and every manifest once, some at a time.

An analysis that is stopped, or whose process dies, goes on where it was: how far it is and what it has added up are
written down together. One that nobody waits for is made in pieces, each of which costs as much as the one before.
Where that is too much for one short transaction it takes several, and an analysis that was killed between them is begun
anew. It is shown once it is complete, and the one before until then. What is pushed or deleted meanwhile may be in it
or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from entrepot.insight import write_batches
from entrepot.insight.analysed_repositories import Place, Places
from entrepot.insight.images import image_sizes
from entrepot.insight.top_lists import Tops
from entrepot.insight.usage_sums import Sums, projects_of
from entrepot.insight.write_batches import Piece
from entrepot.metadata import clock, events
from entrepot.metadata.contents.blobs import LOST
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.usage import analyses
from entrepot.metadata.usage.analyses import IMAGE, LAYER, Analysis, StoredBlob
from entrepot.telemetry.progress import Progress

_log = logging.getLogger(__name__)

_BLOBS: Final = 500
_MANIFESTS: Final = 500
#: Seconds of work that a killed analysis does again at most, and rows that are kept in memory at most, or little more.
_NOTE_SECONDS: Final = 5.0
_NOTE_ROWS: Final = 5_000
#: Microseconds after which nothing follows any more from what people did.
_SETTLED: Final = 86_400 * clock.MICROSECONDS


#: Gives the turn to analyse, of all processes on the registry one at a time.
Turn = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyser:
    """Analyses one registry."""

    metadata: Database
    turn: Turn = nullcontext

    async def run(self, progress: Progress, *, most: int | None = None) -> dict[str, int]:
        """Go on with the analysis at hand, or begin one, and finish it; progress counts blobs and manifests.

        Args:
            progress: Watches.
            most: As many blobs and manifests are looked at now, or few more; what is left is for the next time.

        Raises:
            Stopped: Somebody asked it to end.
            TimeoutError: Another process is at it.
        """
        async with self.turn():
            known = await analyses.begun(self.metadata)
            if known is None or known.cursor.get("torn"):
                known = await self._begin()
            tops = Tops.of(await analyses.all_tops(patient(self.metadata), known.id))
            work = _Run(self.metadata, progress, known, tops, most)
            if await work.blobs() and await work.manifests():
                await work.finish()
                await self._forget_older(known.id, progress)
            else:
                await work.pause()
            return dict(work.sums.totals)

    async def is_begun(self) -> bool:
        """Tell whether an analysis is at hand that is not finished."""
        return await analyses.begun(self.metadata) is not None

    async def renew(self) -> bool:
        """Let the last analysis hold until now if nothing can have changed since; False where something may have.

        Collections follow what people do, and end long before a day is over.
        """
        last = await analyses.last_finished(self.metadata)
        settled = await events.last_time(self.metadata) + _SETTLED
        if last is None or last.started_at < settled or await self.is_begun():
            return False
        now = clock.now()
        await self.metadata.write(
            lambda tx: analyses.note(tx, last.id, last.cursor, last.totals, end=now), name="renew analysis"
        )
        return True

    async def _begin(self) -> Analysis:
        await self.metadata.write(lambda tx: analyses.begin(tx, _written(_Cursor())), name="begin analysis")
        found = await analyses.begun(self.metadata)
        assert found is not None
        return found

    async def _forget_older(self, analysis: int, progress: Progress) -> None:
        while (old := await analyses.older(self.metadata, analysis)) is not None:
            await progress.step(0)

            async def forget(tx: Transaction, old: int = old) -> bool:
                return await analyses.forget_some(tx, old, limit=write_batches.ROWS)

            await self.metadata.write(forget, name="forget analysis")


@dataclass(slots=True)
class _Cursor:
    """How far an analysis is."""

    blob: int = 0
    manifest: int = 0
    looked_at: int = 0
    torn: bool = False  #: only some of what was added up until then is written down


@dataclass(slots=True)
class _Run:
    """One run of an analysis."""

    metadata: Database
    progress: Progress
    known: Analysis
    tops: Tops
    most: int | None = None
    sums: Sums = field(init=False)
    _reader: Reader = field(init=False)
    _cursor: _Cursor = field(init=False)
    _places: Places = field(init=False)
    _at_once: int = field(default_factory=lambda: _BLOBS)
    _noted: float = field(default_factory=time.monotonic)
    _looked_at: int = 0

    def __post_init__(self) -> None:
        self._reader = patient(self.metadata)
        self._cursor = _Cursor(**self.known.cursor)
        self._places = Places(self._reader)
        self.sums = Sums()
        self.sums.totals.update(self.known.totals)

    @property
    def _is_enough(self) -> bool:
        return self.most is not None and self._looked_at >= self.most

    async def blobs(self) -> bool:
        """Add up all blobs that are still to be looked at; False when it is enough before that."""
        while found := await self._next_blobs():
            await self._places.learn([repository for blob in found for repository, _ in blob.places])
            for blob in found:
                uses = self._uses(blob.places)
                if blob.state in LOST:
                    self.sums.totals["lost_bytes"] += blob.size
                    continue
                self.sums.totals["blobs"] += 1
                self.sums.add(blob.size, uses)
                if projects := projects_of(uses):
                    self.tops.offer(LAYER, blob.id, blob.size, projects)
            self._cursor.blob = found[-1].id
            await self._step(len(found))
            if self._is_enough:
                return False
        return True

    async def _next_blobs(self) -> list[StoredBlob]:
        """Return fewer where that takes too long: very many images may be built on the same few layers."""
        while True:
            try:
                return await analyses.blobs_after(self._reader, self._cursor.blob, limit=self._at_once)
            except TookTooLong:
                if self._at_once == 1:
                    raise
                self._at_once = max(1, self._at_once // 8)

    async def manifests(self) -> bool:
        """Add up all manifests that are still to be looked at, each where its bytes were first; as `blobs`."""
        while found := await analyses.manifests_after(self._reader, self._cursor.manifest, limit=_MANIFESTS):
            await self._places.learn([place for one in found for place in (one.repository_id, *one.places)])
            live = [one for one in found if not self._places[one.repository_id].in_trash]
            for one in found:
                if one.places:
                    self.sums.add(one.size, self._uses([(repository, 1) for repository in one.places]))
            for one in live:
                self.sums.count_manifest(self._places[one.repository_id])
            sizes = await image_sizes(self._reader, [one.id for one in live])
            for one in live:
                if one.id in sizes:
                    projects = {self._places[one.repository_id].project_id}
                    self.tops.offer(IMAGE, one.id, sizes[one.id], projects)
            self._cursor.manifest = found[-1].id
            await self._step(len(found))
            if self._is_enough:
                return False
        return True

    async def pause(self) -> None:
        """Write down how far the analysis is."""
        await self._note()

    async def finish(self) -> None:
        """Write down that the analysis is complete."""
        await self._note(end=clock.now())
        _log.info("analysed what is stored", extra=dict(self.sums.totals))

    def _uses(self, places: Sequence[tuple[int, int]]) -> list[tuple[Place, int]]:
        return [(self._places[repository], count) for repository, count in places]

    async def _step(self, count: int) -> None:
        self._cursor.looked_at += count
        self._looked_at += count
        if len(self.sums.parts) > _NOTE_ROWS or time.monotonic() - self._noted > _NOTE_SECONDS:
            await self._note()
        await self.progress.step(self._cursor.looked_at)

    async def _note(self, *, end: int | None = None) -> None:
        work = [
            *self.sums.pieces(self.known.id, write_batches.ROWS),
            *self.tops.pieces(self.known.id, write_batches.ROWS),
        ]
        for number, piece in enumerate(work[:-1]):
            await self._write(piece, replace(self._cursor, torn=True) if number == 0 else None)
        await self._write(work[-1] if work else _nothing, self._cursor, end=end)
        self.sums.parts.clear()
        self.tops.written()
        self._noted = time.monotonic()

    async def _write(self, piece: Piece, cursor: _Cursor | None, *, end: int | None = None) -> None:
        async def write(tx: Transaction) -> None:
            await piece(tx)
            if cursor is not None:
                await analyses.note(tx, self.known.id, _written(cursor), self.sums.totals, end=end)

        await self.metadata.write(write, name="note analysis")


def _written(cursor: _Cursor) -> dict[str, Any]:
    """Spell a cursor so that programs of schema 3, which know of nothing torn, read every one that is not."""
    return {name: value for name, value in asdict(cursor).items() if name != "torn" or value}


async def _nothing(_tx: Transaction) -> None:
    """Write nothing: nothing was added up since."""
