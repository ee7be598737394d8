"""The check-up: everything is looked at once, beside a running registry or without one, and repaired where asked.

A check looks again before it calls something wrong, since pushes and deletes go on meanwhile. Bytes that are wrong go
out of sight; rows that follow from other rows are made anew; a damaged manifest comes back from registry:2's file. What
only a person can decide is named.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.integrity.blob_check import BlobCheck
from entrepot.integrity.examination import Examination
from entrepot.integrity.file_check import FileCheck
from entrepot.integrity.manifest_check import ManifestCheck
from entrepot.integrity.model import Problem, Report
from entrepot.integrity.row_check import RowCheck
from entrepot.metadata.errors import DatabaseError

_DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Doctor:
    """Makes check-ups."""

    work: Examination

    async def run(self) -> Report:
        """Look at everything.

        Raises:
            Stopped: Somebody asked it to end; what was repaired is.
        """
        begun = time.monotonic()
        report = self.work.report
        await self._database()
        await self._part("manifests", ManifestCheck(self.work).run)
        await self._part("rows", RowCheck(self.work).run)
        await self._part("blobs", BlobCheck(self.work).run)
        if self.work.knows_all_files:
            await self._part("files", FileCheck(self.work).run)
        report.seconds = time.monotonic() - begun
        return report

    async def _part(self, title: str, check: Callable[[], Awaitable[None]]) -> None:
        """Do one check; where the database fails half-way, the others are done all the same."""
        await self.work.progress.say(f"looking at {title}")
        try:
            await check()
        except DatabaseError as error:
            problem = Problem(check=title, what="check failed", subject=title, detail=str(error))
            await self.work.found(problem)

    async def _database(self) -> None:
        await self.work.progress.say("looking at the database")
        for detail in await self.work.look_at_database(self.work.progress):
            await self.work.found(
                Problem(
                    check=_DATABASE,
                    what="database damaged",
                    subject="metadata.db" if self.work.metadata.dialect == "sqlite" else "PostgreSQL",
                    detail=f"{detail}; restore it from a backup, or rebuild it from the folder",
                )
            )
