"""Begins runs that are due, each kind from a queue of its own, on any of several replicas.

Nothing stays in progress for ever: a run whose worker died is taken up when its lease is over, at most `RunTimes.lease`
and one `RunTimes.poll` later; one that no worker knows how to run fails after a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from entrepot.jobs.execution import Execution, RunTimes
from entrepot.jobs.model import JobKind
from entrepot.jobs.scheduler import Timekeeper
from entrepot.jobs.worker_presence import Presence
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.jobs import job_claims, job_queues
from entrepot.metadata.jobs.job_runs import Run
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)

#: Seconds after which a run that no worker knows how to run has failed.
STRANGE_AFTER: Final = 24 * 3600.0
_SWEEP_SECONDS: Final = 300.0
_MEASURE_SECONDS: Final = 5.0


class Dispatcher:
    """Begins runs until stopped; every worker has one."""

    def __init__(
        self,
        metadata: Database,
        work: Database,
        kinds: Sequence[JobKind],
        metrics: Metrics,
        *,
        times: RunTimes | None = None,
    ) -> None:
        self._metadata = metadata
        self._kinds = {kind.name: kind for kind in kinds}
        self._times = times or RunTimes()
        self._timekeeper = Timekeeper(metadata, kinds)
        self._me = secrets.token_hex(8)
        self._presence = Presence(work, self._me, sum(kind.traits.parallel for kind in kinds))
        self._executions: dict[asyncio.Task[None], Execution] = {}
        self._wake = asyncio.Event()
        self._swept = self._measured = 0.0
        self._runs = metrics.counter("entrepot_job_runs", "Runs of background jobs.", ("job", "result"))
        self._seconds = metrics.histogram("entrepot_job_seconds", "Time that background jobs took.", ("job",))
        self._running = metrics.gauge("entrepot_job_running", "Runs of jobs that this worker does now.", ("job",))
        self._waiting = metrics.gauge("entrepot_job_waiting", "Runs of jobs that wait, on any worker.", ("job",))
        self._oldest = metrics.gauge(
            "entrepot_job_waiting_oldest_seconds", "Age of the oldest run that waits.", ("job",)
        )

    async def look(self) -> None:
        """Look at once for runs that are due: somebody has asked for one, or one has ended."""
        self._wake.set()

    async def pull_back(self) -> None:
        """Let nothing wait for a time that a wrong clock told."""
        await self._timekeeper.pull_back()

    async def run(self, stop: asyncio.Event) -> None:
        """Begin what is due until `stop` is set; returns when the runs at hand have ended or were put back."""
        with with_reserve(Reserve.USED):  # rows of runs are small, and nothing begins without them
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._turn()
                except Exception:  # noqa: BLE001 - the next turn may go better
                    _log.exception("jobs could not be begun")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._times.poll):
                        await self._wake.wait()
        finally:
            stopping.cancel()
            await self._end()
            await self._presence.leave()

    async def _turn(self) -> None:
        await self._presence.show()
        await self._timekeeper.fire()
        active = await job_claims.active_kinds(self._metadata)
        for name in sorted(active & self._kinds.keys()):
            await self._begin_some(self._kinds[name])
        now = time.monotonic()
        if now - self._measured > _MEASURE_SECONDS:
            await self._measure()
            self._measured = now
        if now - self._swept > _SWEEP_SECONDS:
            await self._sweep(active)
            self._swept = now

    async def _begin_some(self, kind: JobKind) -> None:
        free = kind.traits.parallel - sum(execution.kind is kind for execution in self._executions.values())
        if free <= 0:
            return
        for run_id in await job_claims.due(self._metadata, kind.name, kind.traits.version, free):
            run = await self._claim(run_id)
            if run is not None:
                self._begin(Execution(self._metadata, kind, run, self._times))

    async def _claim(self, run_id: int) -> Run | None:
        claim = partial(job_claims.claim, run=run_id, holder=self._me, seconds=self._times.lease)
        with contextlib.suppress(ConstraintViolated):
            return await self._metadata.write(claim, name="begin a job")
        return None

    def _begin(self, execution: Execution) -> None:
        self._running.add(1, execution.kind.name)
        task = asyncio.create_task(self._perform(execution), name=execution.kind.name)
        self._executions[task] = execution
        task.add_done_callback(self._ended)

    async def _perform(self, execution: Execution) -> None:
        began = time.perf_counter()
        result = await execution.perform()
        self._runs.inc(execution.kind.name, result)
        self._seconds.observe(time.perf_counter() - began, execution.kind.name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        execution = self._executions.pop(task)
        self._running.add(-1, execution.kind.name)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a job ended in an unforeseen way", exc_info=error, extra={"run": execution.run.id})
        self._wake.set()

    async def _end(self) -> None:
        for execution in self._executions.values():
            execution.interrupt()
        while self._executions:
            await asyncio.wait(list(self._executions))

    async def _measure(self) -> None:
        queues = await job_queues.lengths(self._metadata)
        for name in self._kinds:
            queue = queues.get(name)
            self._waiting.set(0 if queue is None else queue.waiting, name)
            age = 0 if queue is None or queue.oldest is None else clock.now() - queue.oldest
            self._oldest.set(age / clock.MICROSECONDS, name)

    async def _sweep(self, active: set[str]) -> None:
        """End runs that nobody knows how to run: of kinds that are gone, or of later versions after a downgrade."""
        before = clock.after(-STRANGE_AFTER)
        for name in active:
            known = self._kinds.get(name)
            end = partial(
                job_claims.abandon,
                kind=name,
                newer_than=-1 if known is None else known.traits.version,
                before=before,
                error="no worker of the last day knows how to run it",
            )
            if count := await self._metadata.write(end, name="abandon jobs"):
                _log.warning("runs of jobs were given up that nobody can run", extra={"job": name, "count": count})
        for kind in self._kinds.values():
            await self._forget(kind.traits)

    async def _forget(self, traits: JobTraits) -> None:
        """Forget what is over and old, also of a kind that is not run any more."""
        forget = partial(job_claims.forget, kind=traits.name, kept=traits.kept, before=clock.after(-traits.kept_for))
        await self._metadata.write(forget, name="forget jobs")
