"""Looks at the free space of each disk again and again, and lets things go where it is low (`lifecycle.watermark`)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.model import CollectionOff, Tally
from entrepot.lifecycle.collection.untagged import Untagged
from entrepot.lifecycle.disks import Alert, Disk, DiskAlerts, Space
from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.lifecycle.watermark import Step, Watermark
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import job_queues, job_runs, schedules
from entrepot.metadata.jobs.job_runs import Cause, State, Wanted
from entrepot.metadata.lifecycle import retention_policies
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress, Stopped, Unwatched

INTERVAL: Final = 5.0
#: After a round that did not help, policies are not run again for so many seconds; the trash is emptied all the same.
_REST: Final = 1800.0
_POLL_SECONDS: Final = 0.2
_POLICIES: Final = 100


@dataclass(slots=True, kw_only=True)
class DiskWatch:
    """The job."""

    watermark: Watermark
    others: Sequence[Disk]  #: whose space no clean-up gives back
    metrics: Metrics
    _rests_until: float = field(default=0.0, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Look once."""
        for disk in self.others:
            await self._look_at(disk)
        space = await self.watermark.disk.space()
        if not self._is_low(self.watermark.disk, space):
            await self._tell(Alert.ENOUGH)
            self._rests_until = 0.0
            return
        try:
            await self._clean(_Until(stop))
        except Stopped:
            return

    async def _look_at(self, disk: Disk) -> None:
        space = await disk.space()
        if self._is_low(disk, space):
            await self._alerts.tell(disk.name, Alert.OTHER_LOW, space)
        elif space.percent >= self.watermark.bounds.high:
            await self._alerts.tell(disk.name, Alert.OTHER_ENOUGH, space)

    def _is_low(self, disk: Disk, space: Space) -> bool:
        low = space.percent < self.watermark.bounds.low
        gauge = self.metrics.gauge("entrepot_disk_low", "1 while too little of a disk is free.", ("disk",))
        gauge.set(int(low), disk.name)
        return low

    async def _clean(self, progress: Progress) -> None:
        await self._tell(Alert.LOW)
        whole = time.monotonic() >= self._rests_until
        if not await self.watermark.tend(progress, whole=whole) and whole:
            self._rests_until = time.monotonic() + _REST
            await self._tell(Alert.NOT_ENOUGH)

    @property
    def _alerts(self) -> DiskAlerts:
        return DiskAlerts(metadata=self.watermark.metadata, bounds=self.watermark.bounds)

    async def _tell(self, alert: Alert) -> None:
        disk = self.watermark.disk
        await self._alerts.tell(disk.name, alert, await disk.space())


class _Until(Unwatched):
    """Progress that ends when the worker does."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def step(self, done: int, total: int | None = None) -> None:  # noqa: ARG002 - nobody watches
        if self._stop.is_set():
            raise Stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUpSteps:
    """What comes after the trash: policies as runs that people see, then manifests without a tag."""

    metadata: Database
    untagged: Untagged | None  #: None where they are to stay

    async def __call__(self) -> Sequence[Step]:
        """Return the steps, in the order of the policies' numbers."""
        steps = [
            Step(f"retention policy {number} is run", partial(self._policy, number)) for number in await self._numbers()
        ]
        if self.untagged is not None:
            steps.append(Step("manifests without a tag are let go", partial(_let_go, self.untagged)))
        return steps

    async def _numbers(self) -> list[int]:
        """Return the policies that run by a schedule: one that is only tried out is none of them.

        While their queue is held back there are none.
        """
        numbers: list[int] = []
        if KIND in await job_queues.paused(self.metadata):
            return numbers
        last = 0
        while found := await retention_policies.after(self.metadata, last, limit=_POLICIES):
            last = found[-1].id
            for policy in found:
                schedule = await schedules.find(self.metadata, KIND, subject_of(policy.id))
                if schedule is not None and schedule.next_at is not None:
                    numbers.append(policy.id)
        return numbers

    async def _policy(self, number: int, progress: Progress) -> None:
        wanted = Wanted(kind=KIND, subject=subject_of(number), cause=Cause.EVENT)

        async def ask(tx: Transaction) -> int:
            active = await job_runs.find_active(tx, wanted.kind, wanted.subject)
            if active is not None and not active.parameters.get("dry_run"):
                return active.id
            return await job_runs.ask(tx, wanted)

        run = await self.metadata.write(ask, name="ask for retention")
        while await self._goes_on(run):
            await progress.step(0)
            await asyncio.sleep(_POLL_SECONDS)

    async def _goes_on(self, run: int) -> bool:
        """Tell whether a run will end by itself: one that waits in a queue that is held back may wait for ever."""
        found = await job_runs.find(self.metadata, run)
        if found is None or found.ended_at is not None:
            return False
        return found.state is not State.PENDING or KIND not in await job_queues.paused(self.metadata)


async def _let_go(untagged: Untagged, progress: Progress) -> None:
    """Let go of what has no tag, where anything may be collected now."""
    with contextlib.suppress(CollectionOff):
        await untagged.run(progress)


async def collect_now(collector: Collector, progress: Progress) -> None:
    """Collect what is due, if nobody else is at it."""
    try:
        await collector.run(progress, Tally())
    except (CollectionOff, TimeoutError):
        return
