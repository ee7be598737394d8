"""Adopts the rest of a folder behind the requests that already use it, and notices another registry's writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.ports import ForeignWatch
from entrepot.adoption.report import Report
from entrepot.adoption.run import AdoptionRun, Progress
from entrepot.adoption.state import AdoptionState
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)

#: Between two lines of progress in the log.
_LOG_SECONDS = 5.0
#: Between two looks at the folder while nothing else is to be done.
_LOOK_SECONDS = 30.0


class FolderAdoption:
    """Runs an adoption until it is complete; what a stopped one left is for the next."""

    def __init__(self, intake: Intake, report: Report, foreign: ForeignWatch, metrics: Metrics) -> None:
        self._intake = intake
        self._report = report
        self._foreign = foreign
        self._done = metrics.gauge("entrepot_adoption_repositories", "Repositories adopted by this run.")
        self._total = metrics.gauge(
            "entrepot_adoption_repositories_expected", "Repositories that this run has to adopt."
        )
        self._manifests = metrics.gauge("entrepot_adoption_manifests", "Manifests adopted by this run.")
        self._problems = metrics.gauge("entrepot_adoption_problems", "Broken things found by this run.")
        self._logged = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Adopt what is left, then keep an eye on the folder until stopped."""
        if await state.find(self._intake.metadata) is not AdoptionState.COMPLETE:
            await self._adopt(stop)
        else:
            await self._look()
        while not stop.is_set():
            await self._foreign.remember()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
        if await state.find(self._intake.metadata) is AdoptionState.COMPLETE:
            await self._foreign.remember()

    async def _look(self) -> None:
        found = await self._foreign.look()
        self._report.append(found.seen.problems)
        if await self._foreign.waiting():
            extra = {"unknown_blobs": found.unknown, "blobs_gone": found.seen.lost}
            _log.warning(await self._foreign.remedy(), extra=extra)

    async def _adopt(self, stop: asyncio.Event) -> None:
        adopting = asyncio.ensure_future(AdoptionRun(self._intake, self._report, self._foreign, self._show).run())
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
        self._manifests.set(progress.manifests)
        self._problems.set(progress.problems)
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            counts = {"repositories": f"{progress.done} of {progress.total}", "manifests": progress.manifests}
            _log.info("adopting the folder", extra=counts)

    def _log_end(self, progress: Progress) -> None:
        counts = {"repositories": progress.done, "manifests": progress.manifests, "tags": progress.tags}
        _log.info("the folder is adopted", extra=counts)
        if progress.problems:
            extra = {"problems": progress.problems, "report": self._report.place}
            _log.warning("broken things were passed over while adopting; see the report", extra=extra)
