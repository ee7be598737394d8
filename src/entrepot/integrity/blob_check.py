"""Rows of blobs held against their bytes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from entrepot.integrity.blob_read import Read, Verdict, describe_blob, read_blob
from entrepot.integrity.blob_verdicts import BlobVerdicts
from entrepot.integrity.examination import DOCTOR, Examination
from entrepot.integrity.model import Outcome, Problem
from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.integrity import verification
from entrepot.registry.worker_pool import together

CHECK = "blobs"
_ROWS = 500
_NAMED = 3


@dataclass(slots=True)
class BlobCheck:
    """Reads blobs, several beside each other."""

    work: Examination
    _total: int = 0
    _whole: list[tuple[StoredRow, Read]] = field(default_factory=list)
    #: What counts as missing once anything was found whole: a disk that is not mounted loses nothing.
    _missing: list[tuple[StoredRow, Read]] = field(default_factory=list)
    _is_there: bool = False
    _chance: random.Random = field(default_factory=random.Random)

    async def run(self) -> None:
        """Look at every blob."""
        _, self._total = await verification.totals(self.work.metadata)
        try:
            await together(self._rows(), self._one, at_once=self.work.at_once)
        finally:
            await self._note()
        if self._missing:
            await self._all_missing()

    async def _rows(self) -> AsyncIterator[StoredRow]:
        last = 0
        while rows := await blobs.stored(self.work.metadata, after=last, limit=_ROWS):
            for row in rows:
                yield row
            last = rows[-1].id
            await self._note()

    async def _one(self, row: StoredRow) -> None:
        report = self.work.report
        report.blobs += 1
        is_read = row.state in blobs.LOST or self._chance.random() < self.work.sample
        if is_read:
            report.blobs_read += 1
            await self._judge(row, await read_blob(self.work.store, row, self._took), is_read=True)
        else:
            await self._judge(row, await describe_blob(self.work.store, row), is_read=False)
        await self.work.progress.step(report.bytes_read, self._total)

    async def _took(self, size: int) -> None:
        self.work.report.bytes_read += size
        await self.work.progress.step(self.work.report.bytes_read, self._total)

    async def _judge(self, row: StoredRow, read: Read, *, is_read: bool) -> None:
        if read.verdict is Verdict.WHOLE:
            await self._found_whole(row, read, is_read=is_read)
        elif read.verdict is Verdict.UNREADABLE:
            await self._tell("blob unreadable", row, read.detail)
        elif read.verdict is Verdict.MISSING and not self._is_there:
            self._missing.append((row, read))
        else:
            await self._wrong(row, read)

    async def _found_whole(self, row: StoredRow, read: Read, *, is_read: bool) -> None:
        assert read.file is not None
        if is_read:
            self._whole.append((row, read))
            outcome = Outcome.REPAIRED if self.work.repair else Outcome.FOUND
            if row.state in blobs.LOST:
                await self._tell("blob whole again", row, "it is out of sight and its bytes are right", outcome)
            elif read.file.size != row.size:
                detail = f"its row says {row.size} bytes, and it has {read.file.size}"
                await self._tell("size wrong", row, detail, outcome)
        self._is_there = True
        missing, self._missing = self._missing, []
        for other in missing:
            await self._wrong(*other)

    async def _wrong(self, row: StoredRow, read: Read) -> None:
        verdicts = BlobVerdicts(self.work.metadata, self.work.quarantine, DOCTOR)
        hidden = row.state in blobs.LOST
        if hidden or await verdicts.wrong(row, read):
            outcome = Outcome.OUT_OF_SIGHT if hidden or self.work.repair else Outcome.FOUND
            await self._tell(f"blob {read.verdict}", row, read.detail, outcome)

    async def _all_missing(self) -> None:
        """Not one blob is there, and nothing was written: either the storage is elsewhere, or all is lost."""
        for row, read in self._missing:
            detail = f"{read.detail}, nor is any other blob there: is the disk with the blobs mounted?"
            await self._tell("blob missing", row, detail)

    async def _tell(self, what: str, row: StoredRow, detail: str, outcome: Outcome = Outcome.FOUND) -> None:
        needed = await verification.needed_by(self.work.metadata, row.id, _NAMED + 1)
        names = ", ".join(f"{repository}@{digest}" for repository, digest in needed[:_NAMED])
        more = " and others" if len(needed) > _NAMED else ""
        told = f"{detail}; needed by {names}{more}" if needed else f"{detail}; needed by no manifest"
        await self.work.found(Problem(check=CHECK, what=what, subject=row.digest, detail=told, outcome=outcome))

    async def _note(self) -> None:
        """Write down what is whole, where anything may be written."""
        whole, self._whole = self._whole, []
        if self.work.repair and whole:
            await BlobVerdicts(self.work.metadata, self.work.quarantine, DOCTOR).whole(whole)
