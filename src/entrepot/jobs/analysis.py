"""Analyses by a schedule, or when asked: where the space went (`insight`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from entrepot.insight.analysis import Analyser
from entrepot.jobs.run import JobRun
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.progress import Unwatched

ANALYSIS: Final = JobTraits(
    name="analysis", title="Add up where the space went, by project, repository, image and layer", schedule="30 4 * * *"
)


#: Blobs and manifests that are looked at at a time where nobody waits for the end: less than a second of work.
PIECE: Final = 30_000
#: Seconds between two pieces: a million images are analysed in less than a day.
INTERVAL: Final = 450.0


@dataclass(frozen=True, slots=True)
class Analysing:
    """The job: a schedule begins an analysis that the next pieces finish; somebody who asks gets all of it."""

    analyser: Analyser

    async def run(self, run: JobRun) -> dict[str, int]:
        """Finish the analysis at hand, or make a whole one; by a schedule, only begin it."""
        if not run.is_scheduled:
            return await self.analyser.run(run)
        if await self.analyser.renew():
            await run.say("nothing has changed since the last analysis")
            return {}
        totals = await self.analyser.run(run, most=PIECE)
        if await self.analyser.is_begun():
            await run.say("begun; the rest follows in pieces, or at once by: entrepot job start analysis")
        return totals

    async def go_on(self, _stop: asyncio.Event) -> None:
        """Do the next piece of an analysis at hand, unless somebody else is at it."""
        with suppress(TimeoutError):
            if await self.analyser.is_begun():
                await self.analyser.run(Unwatched(), most=PIECE)
