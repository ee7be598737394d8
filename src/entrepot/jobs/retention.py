"""Runs retention policies by their schedules, or when asked (`lifecycle.retention`)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from entrepot.jobs.run import JobRun
from entrepot.lifecycle.actor import INTERNAL
from entrepot.lifecycle.retention.expiry import ImageExpiry
from entrepot.lifecycle.retention.policies import KIND, policy_of
from entrepot.lifecycle.retention.policy_run import Retention
from entrepot.lifecycle.retention.repository_visits import Request
from entrepot.metadata import clock
from entrepot.metadata.contents import pulls
from entrepot.metadata.database import Database
from entrepot.registry.model import Actor
from entrepot.system.jobs.traits import DAY, JobTraits
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress

RETENTION: Final = JobTraits(
    name=KIND,
    title="Remove tags that no rule of their project's retention policy keeps",
    parameters={"dry_run": False},
    right="tag-retention:update",
    subjects="policy:[0-9]{1,18}",
    parallel=2,
    kept=1_000,
    kept_for=30 * DAY,
)
IMAGE_EXPIRY: Final = JobTraits(
    name="image-expiry",
    title="Remove tags that have lasted as long as their images say (quay.expires-after)",
    parameters={"dry_run": False},
    right="tag-retention:update",
)
#: Web workers look once a second whether somebody waits for their pulls; a write may take its time.
_SETTLE_SECONDS: Final = 2.5
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRuns:
    """The job."""

    retention: Retention
    metrics: Metrics

    async def run(self, run: JobRun) -> dict[str, Any]:
        """Run one policy."""
        request = Request(
            run=run.id,
            policy_id=policy_of(run.subject),
            dry_run=bool(run.parameters["dry_run"]),
            actor=Actor(name=run.actor, credential="retention") if run.actor else INTERNAL,
        )
        result = await self.retention.run(request, run)
        removed = self.metrics.counter(
            "entrepot_retention_removed", "Tags, and manifests without any, removed by rules."
        )
        removed.inc(by=int(result.get("removed", 0)))
        return result


@dataclass(frozen=True, slots=True)
class SettlePulls:
    """Waits until every web worker has written down the pulls that it only counted so far."""

    metadata: Database
    seconds: float = _SETTLE_SECONDS

    async def __call__(self, progress: Progress) -> None:
        """Do it.

        Raises:
            Stopped: Somebody asked for an end.
        """
        now = clock.now()
        await self.metadata.write(lambda tx: pulls.want(tx, now), name="want pulls")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            await progress.step(0)
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class ExpiringImages:
    """The job."""

    expiry: ImageExpiry

    async def run(self, run: JobRun) -> dict[str, Any]:
        """Look once."""
        return await self.expiry.run(run, dry_run=bool(run.parameters["dry_run"]))
