"""Adopting a whole folder: list the names, then take in one repository after the other. Resumable at any point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from entrepot.adoption import state
from entrepot.adoption.intake import Adopted, Intake
from entrepot.adoption.report import Problem, ReportFile
from entrepot.adoption.state import AdoptionState
from entrepot.metadata import projects, repositories
from entrepot.metadata.database import Transaction
from entrepot.oci.reference import RepositoryName

_NAMES_A_PIECE = 500
_PENDING_A_PAGE = 100


@dataclass(slots=True)
class Progress:
    """How far a run is; `total` grows while names are being listed."""

    total: int = 0
    done: int = 0
    manifests: int = 0
    tags: int = 0
    problems: int = 0
    repository: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class AdoptionRun:
    """Adopts everything in a folder that is not adopted yet."""

    intake: Intake
    report: ReportFile
    on_progress: OnProgress = lambda _progress: None

    async def run(self) -> Progress:
        """Do it, from wherever an earlier run stopped; return the counts of this run."""
        progress = Progress()
        found = await state.prepare(self.intake.metadata, self.intake.tree)
        if found is AdoptionState.LISTING:
            await self._list(progress)
            await state.put(self.intake.metadata, AdoptionState.ADOPTING)
        if found is not AdoptionState.COMPLETE:
            await self._adopt_pending(progress)
            await state.put(self.intake.metadata, AdoptionState.COMPLETE)
        return progress

    async def refresh(self) -> Progress:
        """Take in what another registry wrote into a folder that is adopted; tags follow the files."""
        progress = Progress()
        async for names in self._names(progress):
            for name in names:
                self._count(progress, name, await self.intake.refresh(name))
        return progress

    async def _list(self, progress: Progress) -> None:
        async for names in self._names(progress):
            await self.intake.metadata.write(partial(_add_pending, names), name="adopt names")
            progress.total += len(names)
            self.on_progress(progress)

    async def _names(self, progress: Progress) -> AsyncIterator[list[RepositoryName]]:
        """Walk the folder in a thread, a few hundred names at a time; what cannot be a name is reported."""
        walk = self.intake.tree.names()
        while found := await asyncio.to_thread(lambda: list(islice(walk, _NAMES_A_PIECE))):
            self._note(progress, [entry for entry in found if isinstance(entry, Problem)])
            yield [entry for entry in found if not isinstance(entry, Problem)]

    async def _adopt_pending(self, progress: Progress) -> None:
        progress.total = max(progress.total, await repositories.count_pending(self.intake.metadata))
        last = ""
        while names := await repositories.pending(self.intake.metadata, limit=_PENDING_A_PAGE, last=last):
            last = names[-1]
            for name in names:
                self._count(progress, name, await self.intake.adopt(RepositoryName.parse(name)))

    def _count(self, progress: Progress, name: str, adopted: Adopted) -> None:
        progress.repository = name
        progress.done += 1
        progress.manifests += adopted.manifests
        progress.tags += adopted.tags
        self._note(progress, adopted.problems)
        self.on_progress(progress)

    def _note(self, progress: Progress, problems: list[Problem]) -> None:
        progress.problems += len(problems)
        self.report.append(problems)


async def _add_pending(names: list[RepositoryName], tx: Transaction) -> None:
    for name in names:
        project = await projects.ensure(tx, name.project)
        await repositories.create(tx, name, project.id, adopted=False)
