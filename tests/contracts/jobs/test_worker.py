"""Jobs under leases: one at a time over all replicas, taken up when a holder is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from sqlalchemy import bindparam, select, update

from entrepot.jobs.model import Job
from entrepot.jobs.worker import JobWorker, WorkerTimes
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import leases
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import leases as table
from entrepot.telemetry.instruments import Metrics

TIMES = WorkerTimes(lease=1.2, poll=0.05, retry=0.1)


@asynccontextmanager
async def running(database: Database, *jobs: Job, times: WorkerTimes = TIMES) -> AsyncIterator[Metrics]:
    """Run jobs in a replica of its own."""
    metrics, stop = Metrics(), asyncio.Event()
    task = asyncio.create_task(JobWorker(database, jobs, metrics, times=times).run(stop))
    try:
        yield metrics
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def until(check: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


def results(metrics: Metrics) -> dict[str, float]:
    """Give how many runs ended how."""
    family = next(family for family in metrics.families() if family.name == "entrepot_job_runs")
    return {labels[1]: numbers[0] for labels, numbers in family.series.items()}


_ENDS = Query(select(table.c.expires_at).where(table.c.name == "job"), "test.ends")


async def take(database: Database, name: str, holder: str, seconds: float) -> bool:
    """Take a lease in a transaction."""
    return await database.write(lambda tx: leases.take(tx, name, holder, seconds=seconds))


async def release(database: Database, name: str, holder: str, again_in: float) -> None:
    """Give a lease back in a transaction."""
    await database.write(lambda tx: leases.release(tx, name, holder, again_in=again_in))


async def test_a_lease_has_one_holder(tables: Database) -> None:
    """Who has it may take it again; nobody else may before it ends."""
    assert await take(tables, "job", "one", 60)
    assert await take(tables, "job", "one", 60)
    assert not await take(tables, "job", "two", 60)
    assert await take(tables, "other", "two", 60)


async def test_an_expired_lease_goes_to_whoever_comes(tables: Database) -> None:
    """A holder that vanished holds nothing up for longer than its lease."""
    assert await take(tables, "job", "one", 0)
    assert await take(tables, "job", "two", 60)
    assert not await take(tables, "job", "one", 60)


async def test_a_lease_of_a_clock_that_was_ahead_holds_nobody_up(tables: Database) -> None:
    """One that ends later than anybody asks for is free; one that ends in time is not."""
    assert await take(tables, "job", "one", 240 * 3600)
    assert await tables.write(lambda tx: leases.take(tx, "job", "two", seconds=60, longest=60))
    assert not await tables.write(lambda tx: leases.take(tx, "job", "three", seconds=60, longest=60))


async def test_a_released_lease_waits_for_its_time(tables: Database) -> None:
    """After a run nobody runs the job again before its interval is over, the last holder neither."""
    assert await take(tables, "job", "one", 60)
    await release(tables, "job", "one", 60)
    assert not await take(tables, "job", "one", 60)
    assert not await take(tables, "job", "two", 60)
    (expires,) = await tables.one(_ENDS) or (0,)
    assert abs(expires - clock.after(60)) < 5_000_000


async def test_only_the_holder_releases(tables: Database) -> None:
    """A holder that lost its lease cannot give away that of the next."""
    assert await take(tables, "job", "one", 0)
    assert await take(tables, "job", "two", 60)
    await release(tables, "job", "one", 0)
    assert not await take(tables, "job", "three", 60)


async def test_of_several_replicas_one_does_a_job(tables: Database) -> None:
    """Three replicas with the same lasting job: never two at work, and another takes over when one stops."""
    at_work, most = 0, 0

    async def work(stop: asyncio.Event) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        try:
            await stop.wait()
        finally:
            at_work -= 1

    job = Job(name="job", run=work)
    async with running(tables, job), running(tables, job):
        async with running(tables, job):
            await until(lambda: at_work == 1)
            await asyncio.sleep(1)
        await until(lambda: at_work == 1)
    assert (most, at_work) == (1, 0)


async def test_a_periodic_job_runs_once_an_interval_whoever_runs_it(tables: Database) -> None:
    """Two replicas run a job with an interval of 0.3 s: its runs lie so far apart, whoever runs it."""
    runs = []

    async def work(stop: asyncio.Event) -> None:
        runs.append(asyncio.get_running_loop().time())

    job = Job(name="job", run=work, interval=0.3)
    async with running(tables, job), running(tables, job):
        await until(lambda: len(runs) == 4)
    gaps = [later - earlier for earlier, later in pairwise(runs)]
    assert min(gaps) >= 0.29


async def test_a_long_job_keeps_its_lease(tables: Database) -> None:
    """A run twice as long as the lease is not taken over, because its holder renews it."""
    runs = 0

    async def work(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(2.4)

    job = Job(name="job", run=work, interval=60)
    async with running(tables, job) as metrics, running(tables, job):
        await until(lambda: runs == 1)
        await asyncio.sleep(2.6)
        assert runs == 1
    assert results(metrics) in ({"done": 1}, {})


async def test_who_loses_the_lease_stops_working(tables: Database) -> None:
    """When another has the lease (this one stood still too long), the run is cancelled."""
    ended = asyncio.Event()

    async def work(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
        finally:
            ended.set()

    async with running(tables, Job(name="job", run=work)) as metrics:
        await until(lambda: bool(metrics.families()))
        await asyncio.sleep(0.2)
        await tables.write(lambda tx: _steal(tx, "job"))
        await asyncio.wait_for(ended.wait(), 5)
        await until(lambda: results(metrics) == {"lost": 1})


async def _steal(tx: object, name: str) -> None:
    steal = update(table).where(table.c.name == bindparam("lease")).values(holder="thief", expires_at=bindparam("at"))
    await tx.execute(Query(steal, "steal"), lease=name, at=clock.after(60))  # type: ignore[attr-defined]


async def test_a_failing_job_is_tried_again_and_holds_up_no_other(tables: Database) -> None:
    """A job that raises is run again soon; another goes on meanwhile."""
    failures = 0
    well = asyncio.Event()

    async def fail(stop: asyncio.Event) -> None:
        nonlocal failures
        failures += 1
        raise ValueError("broken")

    async def lasting(stop: asyncio.Event) -> None:
        well.set()
        await stop.wait()

    async with running(tables, Job(name="bad", run=fail, interval=3600), Job(name="good", run=lasting)) as metrics:
        await until(lambda: failures >= 3)
        assert well.is_set()
    assert results(metrics)["failed"] >= 3


@pytest.mark.parametrize("interval", [None, 60.0])
async def test_stopping_waits_for_the_run_at_hand(tables: Database, interval: float | None) -> None:
    """A run that was begun is finished, and its lease is free at once for another."""
    steps: list[str] = []

    async def work(stop: asyncio.Event) -> None:
        steps.append("begun")
        await stop.wait()
        await asyncio.sleep(0.2)
        steps.append("ended")

    async with running(tables, Job(name="job", run=work, interval=interval)):
        await until(lambda: steps == ["begun"])
    assert steps == ["begun", "ended"]
    assert await take(tables, "job", "another", 60) is (interval is None)


async def test_a_job_that_rests_is_not_asked_for_again_and_again(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by who ran it, until its time has come, nor by another replica, which looks and writes nothing."""
    asked: list[str] = []
    take_lease = JobWorker._take

    async def counted(self: JobWorker, job: Job) -> bool:
        asked.append(self._me)
        return await take_lease(self, job)

    monkeypatch.setattr(JobWorker, "_take", counted)

    async def work(_stop: asyncio.Event) -> None:
        pass

    job = Job(name="rests", run=work, interval=60.0)
    async with running(tables, job):
        await until(lambda: len(asked) == 1)
        async with running(tables, job):
            await asyncio.sleep(2.0)
    assert len(asked) == 1
