"""Notes every hour what is used, and tells the metrics when the disk will be full (`insight.history`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from entrepot.insight.history import Past, Recorder, stored_bytes
from entrepot.jobs.run import JobRun
from entrepot.metadata import clock, clock_check
from entrepot.metadata.usage import analyses
from entrepot.metadata.usage.usage_history import day_of
from entrepot.system.jobs.traits import DAY, JobTraits
from entrepot.telemetry.instruments import Metrics

USAGE_HISTORY: Final = JobTraits(
    name="usage-history",
    title="Note what is used, and foretell when the disk is full",
    schedule="55 * * * *",
    kept_for=7 * DAY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotingUsage:
    """The job."""

    recorder: Recorder
    past: Past
    metrics: Metrics

    async def run(self, run: JobRun) -> dict[str, object]:
        """Note once."""
        if (reason := await clock_check.reason(self.recorder.metadata)) is not None:
            await run.say(f"nothing is noted: {reason}")
            return {"projects": 0, "days_until_the_disk_is_full": None}
        await self.recorder.settle(run)
        projects = await self.recorder.note(run)
        days = await self._tell()
        return {"projects": projects, "days_until_the_disk_is_full": days}

    async def _tell(self) -> int | None:
        stored = stored_bytes(await analyses.last_finished(self.recorder.metadata))
        if stored is not None:
            gauge = self.metrics.gauge("entrepot_stored_bytes", "Bytes stored, as the last analysis found.")
            gauge.set(stored)
        days = (await self.past.when_disk_is_full()).days_left(day_of(clock.now()))
        if days is not None:
            text = "Days until the disk with the blobs is full, 3650 at most; absent while that is unknown."
            self.metrics.gauge("entrepot_disk_full_days", text).set(days)
        return days
