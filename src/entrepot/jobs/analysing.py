"""Analyses by a schedule, or when asked: where the space went (`insight`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from entrepot.insight.analysis import Analyser
from entrepot.jobs.run import JobRun
from entrepot.system.jobs.traits import JobTraits

ANALYSIS: Final = JobTraits(
    name="analysis", title="Add up where the space went, by project, repository, image and layer", schedule="30 4 * * *"
)


@dataclass(frozen=True, slots=True)
class Analysing:
    """The job."""

    analyser: Analyser

    async def run(self, run: JobRun) -> dict[str, int]:
        """Finish the analysis at hand, or make a whole one."""
        return await self.analyser.run(run)
