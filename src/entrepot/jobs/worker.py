"""Runs lasting jobs, each under its lease: any of several replicas may run it, one at a time.

A holder moves its lease forward while it works. When it cannot (the database is gone, or it was stopped so long that
another took the lease), it stops the job: two never work at once for longer than it takes to notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.jobs.model import Job
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.jobs import leases
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTimes:
    """The worker's patience, in seconds."""

    lease: float = 12.0
    #: Between two attempts to take a lease that another holds.
    poll: float = 2.0
    #: After a failed run, at the latest.
    retry: float = 60.0
    #: The longest sleep: while a machine is suspended no time passes for those who wait.
    look: float = 60.0

    @property
    def renewal(self) -> float:
        """How often a held lease is moved forward."""
        return self.lease / 3


class LeaseLost(Exception):
    """Somebody else has the lease now."""


class JobWorker:
    """Runs a list of jobs until stopped."""

    def __init__(
        self, work: Database, jobs: Sequence[Job], metrics: Metrics, *, times: WorkerTimes | None = None
    ) -> None:
        self._work = work
        self._jobs = jobs
        self._times = times or WorkerTimes()
        self._me = secrets.token_hex(8)
        self._looking = asyncio.Lock()
        self._held: dict[str, int] = {}  #: leases that were another's, or rested, and until when
        self._look_at = 0.0
        self._runs = metrics.counter("entrepot_job_runs", "Runs of background jobs.", ("job", "result"))
        self._seconds = metrics.histogram("entrepot_job_seconds", "Time that background jobs took.", ("job",))

    async def run(self, stop: asyncio.Event) -> None:
        """Run all jobs; returns when `stop` is set and the runs at hand have ended."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._keep_running(job, stop), name=job.name)

    async def _keep_running(self, job: Job, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                pause = await self._turn(job, stop)
            except Exception:  # noqa: BLE001 - a job's failure must not end the others
                _log.exception("a job could not be started", extra={"job": job.name})
                pause = self._times.poll
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    async def _turn(self, job: Job, stop: asyncio.Event) -> float:
        """Run the job if its time has come and nobody else does; returns when to look again."""
        if not await self._may_take(job) or not await self._take(job):
            return self._times.poll if job.interval is None else min(self._times.lease, job.interval)
        again_in = self._again_in(job, failed=True)
        try:
            if await self._run(job, stop):
                again_in = self._again_in(job, failed=False)
        finally:
            await self._release(job, again_in)
        # A lasting job that ended by itself is not started in a rush.
        return min(self._times.look, again_in) if job.interval is not None else self._times.poll

    async def _run(self, job: Job, stop: asyncio.Event) -> bool:
        """Run the job once; true when it ended well."""
        began = time.perf_counter()
        try:
            await self._run_while_leased(job, stop)
        except LeaseLost:
            _log.warning("another replica took over a job", extra={"job": job.name})
            result = "lost"
        except Exception:  # noqa: BLE001 - a job's failure must not end the others
            _log.exception("a job failed", extra={"job": job.name})
            result = "failed"
        else:
            result = "done"
        self._runs.inc(job.name, result)
        self._seconds.observe(time.perf_counter() - began, job.name)
        return result == "done"

    async def _run_while_leased(self, job: Job, stop: asyncio.Event) -> None:
        work = self._begun(job, stop)
        renewal = asyncio.create_task(self._renew(job))
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                renewal.result()
            await work
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    def _begun(self, job: Job, stop: asyncio.Event) -> asyncio.Future[None]:
        with with_reserve(job.reserve):
            return asyncio.ensure_future(job.run(stop))

    async def _renew(self, job: Job) -> None:
        """Move the lease forward until cancelled; raises when it is no longer ours."""
        while True:
            await asyncio.sleep(self._times.renewal)
            if not await self._take(job):
                raise LeaseLost

    async def _may_take(self, job: Job) -> bool:
        """Tell whether it is worth a transaction: most leases are another's, or rest. One look is for all jobs."""
        async with self._looking:
            if time.monotonic() >= self._look_at:
                self._held = await leases.held(self._work, self._me)
                self._look_at = time.monotonic() + self._times.poll / 2
        return leases.is_to_be_had(self._held.get(job.name), self._longest(job))

    async def _take(self, job: Job) -> bool:
        async def work(tx: Transaction) -> bool:
            return await leases.take(tx, job.name, self._me, seconds=self._times.lease, longest=self._longest(job))

        with with_reserve(Reserve.USED):  # a few bytes, and no job begins without them
            return await self._work.write(work, name=f"take {job.name}")

    async def _release(self, job: Job, again_in: float) -> None:
        async def work(tx: Transaction) -> None:
            await leases.release(tx, job.name, self._me, again_in=again_in)

        with with_reserve(Reserve.USED):
            await self._work.write(work, name=f"release {job.name}")

    def _longest(self, job: Job) -> float:
        """Return how long the job's lease may be held or rest."""
        return max(self._times.lease, self._times.retry, self._times.poll, job.interval or 0.0)

    def _again_in(self, job: Job, *, failed: bool) -> float:
        if job.interval is None:
            return self._times.poll if failed else 0.0
        return min(job.interval, self._times.retry) if failed else job.interval
