"""Adopts the rest of a folder behind the requests that already use it."""

from __future__ import annotations

import asyncio
import logging
import time

from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.report import ReportFile
from entrepot.adoption.run import AdoptionRun, Progress
from entrepot.adoption.state import AdoptionState
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)

#: Between two lines of progress in the log.
_LOG_SECONDS = 5.0


class FolderAdoption:
    """Runs an adoption until it is complete; what a stopped one left is for the next."""

    def __init__(self, intake: Intake, report: ReportFile, metrics: Metrics) -> None:
        self._intake = intake
        self._report = report
        self._done = metrics.gauge("entrepot_adoption_repositories", "Repositories adopted by this run.")
        self._total = metrics.gauge("entrepot_adoption_repositories_total", "Repositories that this run has to adopt.")
        self._problems = metrics.gauge("entrepot_adoption_problems", "Broken things found by this run.")
        self._logged = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Adopt what is left, then wait to be stopped."""
        if await state.find(self._intake.metadata) is not AdoptionState.COMPLETE:
            await self._adopt(stop)
        await stop.wait()

    async def _adopt(self, stop: asyncio.Event) -> None:
        adopting = asyncio.ensure_future(AdoptionRun(self._intake, self._report, self._show).run())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({adopting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if adopting.done():
                self._log_end(adopting.result())
        finally:
            adopting.cancel()
            stopping.cancel()
            await asyncio.gather(adopting, stopping, return_exceptions=True)

    def _show(self, progress: Progress) -> None:
        self._done.set(progress.done)
        self._total.set(progress.total)
        self._problems.set(progress.problems)
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            _log.info("adopting", extra={"done": progress.done, "total": progress.total})

    def _log_end(self, progress: Progress) -> None:
        counts = {"repositories": progress.done, "manifests": progress.manifests, "tags": progress.tags}
        _log.info("the folder is adopted", extra=counts)
        if progress.problems:
            extra = {"problems": progress.problems, "report": str(self._report.path)}
            _log.warning("broken things were passed over while adopting; see the report", extra=extra)
