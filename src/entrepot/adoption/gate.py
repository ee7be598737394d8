"""The gate in front of a folder that is still being adopted (see `entrepot.registry.adoption`)."""

from __future__ import annotations

import asyncio

from entrepot.adoption import state
from entrepot.adoption.intake import Adopted, Intake
from entrepot.adoption.report import ReportFile
from entrepot.adoption.state import AdoptionState
from entrepot.metadata import repositories
from entrepot.oci.errors import Unavailable
from entrepot.oci.reference import RepositoryName

_POLL_SECONDS = 0.1


class FolderGate:
    """Adopts a repository when the first request names it."""

    def __init__(self, intake: Intake, report: ReportFile, *, names_seconds: float = 30.0) -> None:
        """Guard a folder.

        Args:
            intake: Takes repositories in.
            report: Where broken things are noted.
            names_seconds: How long a list of all names may be waited for.
        """
        self._intake = intake
        self._report = report
        self._names_seconds = names_seconds
        self._complete = False
        self._running: dict[RepositoryName, asyncio.Task[Adopted]] = {}

    async def ensure(self, name: RepositoryName) -> bool:
        """Adopt a repository that is still to be adopted; several requests share one reading."""
        if await self._is_complete() or not await self._is_pending(name):
            return False
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._adopt(name))
        await asyncio.shield(task)
        return True

    async def names_known(self) -> None:
        """Wait, bounded, until the names of all repositories are in the metadata."""
        deadline = asyncio.get_running_loop().time() + self._names_seconds
        while not self._complete and await state.find(self._intake.metadata) is AdoptionState.LISTING:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(5, "The folder's repositories are still being listed; try again in a moment.")
            await asyncio.sleep(_POLL_SECONDS)

    async def _is_complete(self) -> bool:
        """Once complete, always complete: then a request costs nothing here."""
        if not self._complete:
            self._complete = await state.find(self._intake.metadata) in (AdoptionState.COMPLETE, None)
        return self._complete

    async def _is_pending(self, name: RepositoryName) -> bool:
        row = await repositories.find_exact(self._intake.metadata, name)
        if row is not None:
            return not row.adopted
        return self._intake.tree.has(name)

    async def _adopt(self, name: RepositoryName) -> Adopted:
        try:
            adopted = await self._intake.adopt(name)
            self._report.append(adopted.problems)
            return adopted
        finally:
            del self._running[name]
