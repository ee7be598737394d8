"""Files of the blob store held against the rows: what nothing speaks of, and no collection takes by itself."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.integrity.examination import Examination
from entrepot.integrity.model import Outcome, Problem
from entrepot.metadata import clock
from entrepot.metadata.integrity import verification
from entrepot.metadata.lifecycle import review
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

CHECK = "files"
_FILES = 500


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Walks the store."""

    work: Examination

    async def run(self) -> None:
        """Look at every file that could be a blob.

        Objects under names of their own that belong to nobody go by the purging of uploads. They are no fault of the
        store, but what was pushed since, where the database was brought back from a backup; so they are named.
        """
        batch: list[StoredBlob] = []
        async for file in self.work.store.keys():
            batch.append(file)
            if len(batch) == _FILES:
                await self._batch(batch)
                batch = []
        await self._batch(batch)

    async def _batch(self, batch: list[StoredBlob]) -> None:
        """Files are walked before the rows are asked: a push puts its file there before it writes its row."""
        self.work.report.files += len(batch)
        await self.work.progress.step(self.work.report.files, None)
        settled = clock.after(-self.work.grace_seconds)
        known = await verification.known_files(self.work.metadata, [file.key for file in batch])
        unknown = [file for file in batch if file.key not in known and (file.placed_at or 0) < settled]
        objects = [file.key for file in unknown if layout.is_object(file.key)]
        if objects:
            uploading = await self.work.uploading(objects)
            self.work.report.set_aside([key for key in objects if key not in uploading])
        unknown = [file for file in unknown if not layout.is_object(file.key)]
        queued = await review.queued_files(self.work.metadata, [file.key for file in unknown])
        self.work.report.queued += len(queued)
        unknown = [file for file in unknown if file.key not in queued]
        if unknown and self.work.repair:
            await self._queue([file.key for file in unknown])
        for file in unknown:
            problem = Problem(
                check=CHECK,
                what="file unknown",
                subject=file.key,
                detail=f"{file.size} bytes that no blob and no manifest speaks of; a collection takes them away",
                outcome=Outcome.REPAIRED if self.work.repair else Outcome.FOUND,
            )
            await self.work.found(problem)

    async def _queue(self, keys: list[str]) -> None:
        after = clock.after(self.work.grace_seconds)
        await self.work.metadata.write(
            lambda tx: review.add_files(tx, keys, after=after, reason="found by doctor"), name="queue files"
        )
