"""The gate in front of a folder that is still being adopted (see `entrepot.registry.adoption`).

A request for a manifest or a blob, and a push, has just what it needs taken in and goes on: the job worker adopts the
rest. One that needs a whole repository (a list, a delete) waits until it is adopted, by this process or by whichever
has it in hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable

from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.report import Report
from entrepot.adoption.state import AdoptionState
from entrepot.metadata.contents import repositories
from entrepot.oci.errors import Unavailable
from entrepot.oci.reference import RepositoryName
from entrepot.registry.adoption import Wanted

_POLL_SECONDS = 0.1


class FolderGate:
    """Adopts what requests ask for before its turn."""

    def __init__(self, intake: Intake, report: Report, *, patience: float = 60.0) -> None:
        """Guard a folder.

        Args:
            intake: Takes repositories in.
            report: Where broken things are noted.
            patience: How many seconds a request waits for a whole repository, or for the list of all names.
        """
        self._intake = intake
        self._report = report
        self._patience = patience
        self._complete = False
        self._running: dict[Hashable, asyncio.Task[None]] = {}

    async def ensure(self, name: RepositoryName, wanted: Wanted | None = None) -> bool:
        """Adopt what is wanted of a repository that is still to be adopted; requests for the same share the work."""
        if await self.is_complete() or not await self._is_pending(name):
            return False
        if wanted is None:
            await self._together(name, lambda: self._adopt(name))
        else:
            await self._together((name, wanted), lambda: self._intake.fetch(name, wanted))
        return True

    async def names_known(self) -> None:
        """Wait, bounded, until the names of all repositories are in the metadata."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while not await self.is_complete() and await state.find(self._intake.metadata) is AdoptionState.LISTING:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(5, "The folder's repositories are still being listed; try again in a moment.")
            await asyncio.sleep(_POLL_SECONDS)

    async def is_complete(self) -> bool:
        """Tell whether nothing is left to adopt. Once complete, always complete: then a request costs nothing here."""
        if not self._complete:
            self._complete = await state.find(self._intake.metadata) in (AdoptionState.COMPLETE, None)
        return self._complete

    async def _is_pending(self, name: RepositoryName) -> bool:
        row = await repositories.find_exact(self._intake.metadata, name)
        if row is not None:
            return not row.adopted
        return await asyncio.to_thread(self._intake.tree.has, name)

    async def _together(self, key: Hashable, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do something once for all who ask for it now; it goes on when those who asked have left."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._running.pop(key))
        done, _ = await asyncio.wait({task}, timeout=self._patience)
        if not done:
            raise Unavailable(5, "The repository is being read from its folder; try again in a moment.")
        task.result()

    async def _adopt(self, name: RepositoryName) -> None:
        while await self._is_pending(name):
            adopted = await self._intake.adopt(name)
            if adopted is not None:
                self._report.append(adopted.problems)
                return
            await asyncio.sleep(_POLL_SECONDS)
