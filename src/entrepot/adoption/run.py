"""Adopting a whole folder: list the names, then take in the repositories, a few at once. Resumable at any point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.ports import ForeignWatch, RegistryTree
from entrepot.adoption.report import Problem, Report
from entrepot.adoption.repository_adoption import Adopted
from entrepot.adoption.state import AdoptionState
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.database import Database, Transaction
from entrepot.oci.reference import RepositoryName

_NAMES_A_PIECE = 200
_PENDING_A_PAGE = 100
#: While one repository waits for the disk, another is parsed and a third is written.
_AT_ONCE = 4
_POLL_SECONDS = 0.2


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
    report: Report
    foreign: ForeignWatch
    on_progress: OnProgress = lambda _progress: None

    async def run(self) -> Progress:
        """Do it, from wherever an earlier run stopped; return the counts of this run."""
        progress = Progress()
        metadata = self.intake.metadata
        found = await state.prepare(metadata, self.intake.tree)
        if found is AdoptionState.LISTING:
            await self.foreign.begin()
            await self._list(progress)
            await state.advance(metadata, AdoptionState.LISTING, AdoptionState.ADOPTING)
        if found is not AdoptionState.COMPLETE:
            await self._adopt_pending(progress)
            await state.advance(metadata, AdoptionState.ADOPTING, AdoptionState.COMPLETE)
            await self.intake.claims.drop_claims()
        return progress

    async def _list(self, progress: Progress) -> None:
        async for found in walk_names(self.intake.tree):
            note(progress, self.report, [entry for entry in found if isinstance(entry, Problem)])
            names = [entry for entry in found if not isinstance(entry, Problem)]
            await self.intake.metadata.write(partial(_add_pending, names), name="adopt names")
            progress.total += len(names)
            self.on_progress(progress)

    async def _adopt_pending(self, progress: Progress) -> None:
        """Take in what is left, again and again until nothing is: what others have in hand may come back to us."""
        progress.total = max(progress.total, await repositories.count_pending(self.intake.metadata))
        while await repositories.count_pending(self.intake.metadata):
            before = progress.done
            await self._pass(progress)
            if progress.done == before:
                await asyncio.sleep(_POLL_SECONDS)

    async def _pass(self, progress: Progress) -> None:
        """Try every pending repository once."""
        names = _Pending(self.intake.metadata)
        workers = [asyncio.ensure_future(self._work(names, progress)) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, names: _Pending, progress: Progress) -> None:
        while (name := await names.next()) is not None:
            tally = Tally(progress, self.report, self.on_progress)
            adopted = await self.intake.adopt(name, tally.piece)
            if adopted is not None:
                tally.end(name, adopted)


class Tally:
    """Adds what one repository brings to the progress of the whole, while it comes in."""

    def __init__(self, progress: Progress, report: Report, on_progress: OnProgress) -> None:
        self._progress = progress
        self._report = report
        self._on_progress = on_progress
        self._manifests = 0
        self._tags = 0

    def piece(self, adopted: Adopted) -> None:
        """Note how much of the repository is taken in by now, and write down what is broken so far."""
        self._progress.manifests += adopted.manifests - self._manifests
        self._progress.tags += adopted.tags - self._tags
        self._manifests, self._tags = adopted.manifests, adopted.tags
        problems = list(adopted.problems)
        del adopted.problems[: len(problems)]  # a thread may be adding more
        note(self._progress, self._report, problems)
        self._on_progress(self._progress)

    def end(self, name: str, adopted: Adopted) -> None:
        """Note that the repository is done."""
        self._progress.repository = name
        self._progress.done += 1
        self.piece(adopted)


def note(progress: Progress, report: Report, problems: list[Problem]) -> None:
    """Write down what is broken, and count what of it matters."""
    progress.problems += sum(problem.matters for problem in problems)
    report.append(problems)


class _Pending:
    """Hands out the names of pending repositories, each once, to several who ask."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata
        self._page: list[str] = []
        self._last = ""
        self._turn = asyncio.Lock()

    async def next(self) -> RepositoryName | None:
        """Return a name; None after the last."""
        async with self._turn:
            if not self._page:
                self._page = await repositories.pending(self._metadata, limit=_PENDING_A_PAGE, last=self._last)
                self._page.reverse()
            if not self._page:
                return None
            self._last = self._page.pop()
            return RepositoryName.parse(self._last)


async def walk_names(tree: RegistryTree) -> AsyncIterator[list[RepositoryName | Problem]]:
    """Walk a folder in a thread, some names at a time; what cannot be a name is a problem."""
    walk = tree.names()
    while found := await asyncio.to_thread(lambda: list(islice(walk, _NAMES_A_PIECE))):
        yield found


async def _add_pending(names: list[RepositoryName], tx: Transaction) -> None:
    for name in names:
        project = await projects.ensure(tx, name.project)
        await repositories.create(tx, name, project.id, adopted=False)
