"""Workers for tests that run jobs: short times, and waiting for what becomes of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from entrepot.jobs.dispatcher import Dispatcher
from entrepot.jobs.execution import RunTimes
from entrepot.jobs.model import JobKind
from entrepot.jobs.run import JobRun
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.jobs.job_runs import Run, State, Wanted
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics

TIMES = RunTimes(lease=1.5, poll=0.05, beat=0.05, ending=1.0)


def kind(run: Callable[[JobRun], Awaitable[Any]], name: str = "probe", **traits: Any) -> JobKind:
    """A kind of job that fails for good at once, unless told otherwise."""
    given = {"attempts": 1, "pause": 0.05, "title": "Try", **traits}
    return JobKind(traits=JobTraits(name=name, **given), run=run)


@asynccontextmanager
async def worker(database: Database, *kinds: JobKind, times: RunTimes = TIMES) -> AsyncIterator[Metrics]:
    """Run a worker beside the body."""
    stop, metrics = asyncio.Event(), Metrics()
    task = asyncio.create_task(Dispatcher(database, database, kinds, metrics, times=times).run(stop))
    try:
        yield metrics
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def ask(database: Database, name: str = "probe", **wanted: Any) -> int:
    """Ask for a run."""
    return await database.write(lambda tx: job_runs.ask(tx, Wanted(kind=name, **wanted)))


async def found(database: Database, run: int) -> Run:
    """Give a run as it is now."""
    run_now = await job_runs.find(database, run)
    assert run_now is not None
    return run_now


async def until(database: Database, run: int, *states: State, seconds: float = 10) -> Run:
    """Wait until a run is in one of some states, by default until it has ended."""
    wanted = states or (State.SUCCEEDED, State.FAILED, State.STOPPED)
    async with asyncio.timeout(seconds):
        while (now := await found(database, run)).state not in wanted:
            await asyncio.sleep(0.02)
    return now
