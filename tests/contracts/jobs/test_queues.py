"""Queues held back, emptied and measured; workers that are alive; schedules held back all together."""

from __future__ import annotations

import asyncio

from entrepot.jobs.model import JobKind
from entrepot.jobs.run import JobRun
from entrepot.jobs.scheduler import Timekeeper
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import job_queues, job_workers, schedules
from entrepot.metadata.jobs.job_runs import State
from entrepot.metadata.jobs.schedules import Origin
from entrepot.system.jobs.queues import SCHEDULER
from entrepot.telemetry.instruments import Metrics
from tests.support.job_runs import ask, found, kind, until, worker


async def nothing(run: JobRun) -> None:
    """Do nothing."""


async def test_a_queue_that_is_held_back_waits(tables: Database) -> None:
    """Other queues go on; let go, it goes on as well."""
    assert await tables.write(lambda tx: job_queues.pause(tx, "held", "alice"))
    assert not await tables.write(lambda tx: job_queues.pause(tx, "held", "bob"))
    waiting, free = await ask(tables, "held"), await ask(tables, "free")
    async with worker(tables, kind(nothing, "held"), kind(nothing, "free")):
        await until(tables, free)
        await asyncio.sleep(0.3)
        assert (await found(tables, waiting)).state is State.PENDING
        assert await tables.write(lambda tx: job_queues.resume(tx, "held"))
        await until(tables, waiting)
    assert not await tables.write(lambda tx: job_queues.resume(tx, "held"))


async def test_a_queue_is_emptied_piece_by_piece(tables: Database) -> None:
    """What waits is stopped, so many at once; what runs, and other kinds, are left alone."""
    asked = [await ask(tables, "many", subject=str(number)) for number in range(5)]
    other = await ask(tables, "other")
    counts = [await tables.write(lambda tx: job_queues.clear(tx, "many", limit=3)) for _ in range(3)]
    assert counts == [3, 2, 0]
    assert {(await found(tables, run)).state for run in asked} == {State.STOPPED}
    assert (await found(tables, other)).state is State.PENDING


async def test_queues_are_measured(tables: Database) -> None:
    """How many wait, how many run, and how long the oldest has waited."""
    free = asyncio.Event()

    async def wait(run: JobRun) -> None:
        await free.wait()

    asked = [await ask(tables, subject=str(number)) for number in range(3)]
    async with worker(tables, kind(wait)) as metrics:
        await until(tables, asked[0], State.RUNNING)
        lengths = (await job_queues.lengths(tables))["probe"]
        assert (lengths.waiting, lengths.running) == (2, 1)
        assert clock.now() - (lengths.oldest or 0) < 10 * clock.MICROSECONDS
        assert gauge(metrics, "entrepot_job_running") == 1
        assert gauge(metrics, "entrepot_job_waiting") in (2, 3)
        assert gauge(metrics, "entrepot_job_waiting_oldest_seconds") > 0
        free.set()
        await until(tables, asked[2])
    assert gauge(metrics, "entrepot_job_running") == 0
    assert await job_queues.lengths(tables) == {}


def gauge(metrics: Metrics, name: str) -> float:
    """Give the value of a gauge for the kind `probe`."""
    family = next(family for family in metrics.families() if family.name == name)
    return family.series["probe",][0]


async def test_a_worker_is_seen_while_it_lives(tables: Database) -> None:
    """It says so when it starts and when it ends; one that died is forgotten by the next."""
    async with worker(tables, kind(nothing, parallel=2), kind(nothing, "other")):
        async with asyncio.timeout(5):
            while not (alive := await job_workers.alive(tables)):
                await asyncio.sleep(0.01)
        (one,) = alive
        assert (one.concurrency, one.pid > 0, bool(one.host)) == (3, True, True)
        assert abs(one.seen_at - clock.now()) < 10 * clock.MICROSECONDS
    assert await job_workers.alive(tables) == []


async def test_schedules_are_held_back_all_together(tables: Database) -> None:
    """Their times wait, and count once when they are let go."""
    probe: JobKind = kind(nothing)
    await tables.write(
        lambda tx: schedules.put(
            tx, kind="probe", cron="@every 1h", parameters={}, origin=Origin.PERSON, next_at=clock.now()
        )
    )
    timekeeper = Timekeeper(tables, [probe])
    await tables.write(lambda tx: job_queues.pause(tx, SCHEDULER, "alice"))
    await timekeeper.fire()
    assert await job_queues.lengths(tables) == {}
    await tables.write(lambda tx: job_queues.resume(tx, SCHEDULER))
    await timekeeper.fire()
    assert (await job_queues.lengths(tables))["probe"].waiting == 1


async def test_a_time_passes_when_there_is_nothing_to_do(tables: Database) -> None:
    """A kind that does not apply now (no directory is set up) is not begun by its schedule."""

    async def never() -> bool:
        return False

    probe = JobKind(traits=kind(nothing).traits, run=nothing, applies=never)
    await tables.write(
        lambda tx: schedules.put(
            tx, kind="probe", cron="@every 1h", parameters={}, origin=Origin.CONFIGURATION, next_at=clock.now()
        )
    )
    await Timekeeper(tables, [probe]).fire()
    assert await job_queues.lengths(tables) == {}
