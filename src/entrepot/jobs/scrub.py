"""Scrubs stored bytes in the background, and tells how many are damaged (`integrity.scrub`)."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Final

from entrepot.integrity.scrub import Pass, Scrub
from entrepot.jobs.run import JobRun
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.integrity import findings
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics

SCRUB: Final = JobTraits(name="scrub", title="Read stored bytes and look for damage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbing:
    """The job."""

    scrub: Scrub
    metrics: Metrics

    async def run(self, run: JobRun) -> dict[str, object]:
        """Finish the pass at hand, or make a whole one."""
        found = await self.scrub.run(run)
        self._tell(found)
        return clock.told(asdict(found))

    def _tell(self, found: Pass) -> None:
        last = self.metrics.gauge("entrepot_scrub_finished_seconds", "When the last pass of the scrub ended.")
        last.set((found.finished_at or 0) / clock.MICROSECONDS)


class DamageWatch:
    """Tells how much is damaged now: a push heals without the scrub's help."""

    def __init__(self, metadata: Database, metrics: Metrics) -> None:
        self._metadata = metadata
        self._open = metrics.gauge("entrepot_damage", "Damaged or lost bytes now, by their kind.", ("kind",))

    async def run(self, _stop: asyncio.Event) -> None:
        """Look once."""
        counts = await findings.count_open(self._metadata)
        for kind in findings.KINDS:
            self._open.set(counts.get(kind, 0), kind)
