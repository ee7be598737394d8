"""Schedules: runs at their time, once over all workers, as the configuration or a person says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from entrepot.jobs.model import JobKind
from entrepot.jobs.run import JobRun
from entrepot.jobs.scheduler import Timekeeper
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs import job_runs, schedules
from entrepot.metadata.jobs.job_runs import Cause, Run, State
from entrepot.metadata.jobs.schedules import Origin
from tests.support.job_runs import ask, found, kind, until, worker

HOUR = 3600.0


async def nothing(run: JobRun) -> None:
    """Do nothing."""


async def runs(database: Database) -> list[Run]:
    """Give all runs, the latest first."""
    return (await job_runs.page(database, Selection())).items


async def put(database: Database, **given: Any) -> None:
    """Set a schedule as a person does; due at once unless told otherwise."""
    wanted = {"kind": "probe", "cron": "@every 1h", "parameters": {}, "origin": Origin.PERSON, "next_at": clock.now()}
    await database.write(lambda tx: schedules.put(tx, **(wanted | given)))


def daily(probe: JobKind, line: str) -> JobKind:
    """Give the kind with a schedule of the configuration."""
    return replace(probe, traits=replace(probe.traits, schedule=line))


@pytest.fixture
def probe() -> JobKind:
    """A kind that does nothing."""
    return kind(nothing)


async def test_of_several_workers_one_begins_a_scheduled_run(tables: Database, probe: JobKind) -> None:
    """Three look at the same moment; there is one run, with the schedule's subject and parameters."""
    await put(tables, subject="project:7", parameters={"deep": True})
    await asyncio.gather(*(Timekeeper(tables, [probe]).fire() for _ in range(3)))
    (run,) = await runs(tables)
    assert (run.kind, run.subject, run.parameters, run.cause) == ("probe", "project:7", {"deep": True}, Cause.SCHEDULE)
    schedule = await schedules.find(tables, "probe", "project:7")
    assert schedule is not None
    assert abs((schedule.next_at or 0) - clock.after(HOUR)) < 10 * clock.MICROSECONDS


async def test_a_time_that_passed_while_no_worker_looked_counts_once(tables: Database, probe: JobKind) -> None:
    """A registry that was off for a week begins what it missed once, not 168 times."""
    await put(tables, next_at=clock.after(-168 * HOUR))
    timekeeper = Timekeeper(tables, [probe])
    for _ in range(3):
        await timekeeper.fire()
    assert len(await runs(tables)) == 1


async def test_a_clock_that_was_ahead_puts_nothing_off(tables: Database, probe: JobKind) -> None:
    """A schedule and a run whose time a wrong clock told come as soon as they would have; others stay."""
    far = clock.after(240 * HOUR)
    await put(tables, next_at=far)
    await put(tables, subject="project:7", cron="@every 480h", next_at=far)
    waiting = await ask(tables, due_at=far)
    await Timekeeper(tables, [probe]).pull_back()
    schedule, other = await schedules.find(tables, "probe"), await schedules.find(tables, "probe", "project:7")
    assert schedule is not None
    assert other is not None
    assert (schedule.next_at or far) <= clock.after(HOUR)
    assert other.next_at == far
    assert (await found(tables, waiting)).due_at <= clock.now()


async def test_a_scheduled_run_waits_for_no_queue_of_itself(tables: Database, probe: JobKind) -> None:
    """While the last run is not over, its next time passes."""
    await ask(tables)
    await put(tables)
    await Timekeeper(tables, [probe]).fire()
    assert len(await runs(tables)) == 1


async def test_a_worker_does_what_is_scheduled(tables: Database, probe: JobKind) -> None:
    """From the schedule to the end of the run."""
    await put(tables)
    async with worker(tables, probe):
        async with asyncio.timeout(5):
            while not (begun := await runs(tables)):
                await asyncio.sleep(0.02)
        run = await until(tables, begun[0].id)
    assert (run.state, run.cause) == (State.SUCCEEDED, Cause.SCHEDULE)


async def test_the_configuration_sets_a_schedule_and_changes_it(tables: Database, probe: JobKind) -> None:
    """What the file says is in force from the next start on; what it says no more is gone."""
    await Timekeeper(tables, [daily(probe, "0 3 * * *")]).fire()
    schedule = await schedules.find(tables, "probe")
    assert schedule is not None
    assert (schedule.cron, schedule.origin) == ("0 3 * * *", Origin.CONFIGURATION)
    await Timekeeper(tables, [daily(probe, "0 4 * * *")]).fire()
    schedule = await schedules.find(tables, "probe")
    assert schedule is not None
    assert schedule.cron == "0 4 * * *"
    await Timekeeper(tables, [probe]).fire()
    assert await schedules.find(tables, "probe") is None


async def test_a_start_does_not_move_the_next_time(tables: Database, probe: JobKind) -> None:
    """A registry that is started again and again still runs its jobs."""
    interval = daily(probe, "@every 24h")
    await Timekeeper(tables, [interval]).fire()
    before = await schedules.find(tables, "probe")
    await Timekeeper(tables, [interval]).fire()
    assert await schedules.find(tables, "probe") == before


async def test_what_a_person_set_stays(tables: Database, probe: JobKind) -> None:
    """A start does not undo it, whatever the file says; nor that somebody put it out of force."""
    await put(tables, cron="0 5 * * *", next_at=None)
    before = await schedules.find(tables, "probe")
    await Timekeeper(tables, [daily(probe, "0 3 * * *")]).fire()
    assert await schedules.find(tables, "probe") == before


async def test_schedules_of_kinds_that_this_worker_lacks_are_left_alone(tables: Database, probe: JobKind) -> None:
    """A newer worker beside it knows what to do."""
    await put(tables, kind="newer")
    before = await schedules.find(tables, "newer")
    await Timekeeper(tables, [probe]).fire()
    assert await schedules.find(tables, "newer") == before


async def test_a_kind_that_has_nothing_to_do_is_not_scheduled(tables: Database, probe: JobKind) -> None:
    """While there is no directory, say; its schedule is in force as soon as there is one, and no longer than that."""
    has_work = False

    async def applies() -> bool:
        return has_work

    timekeeper = Timekeeper(tables, [replace(daily(probe, "@every 1h"), applies=applies)], look=0)
    await timekeeper.fire()
    assert await schedules.find(tables, "probe") is None
    has_work = True
    await timekeeper.fire()
    assert await schedules.find(tables, "probe") is not None
    assert len(await runs(tables)) == 1
    has_work = False
    await timekeeper.fire()
    assert await schedules.find(tables, "probe") is None


async def test_a_schedule_that_a_person_set_passes_while_there_is_nothing_to_do(
    tables: Database, probe: JobKind
) -> None:
    """It stays, and there is no run that could only fail."""

    async def applies() -> bool:
        return False

    await put(tables)
    await Timekeeper(tables, [replace(daily(probe, "@every 2h"), applies=applies)]).fire()
    schedule = await schedules.find(tables, "probe")
    assert schedule is not None
    assert (schedule.origin, (schedule.next_at or 0) > clock.now()) == (Origin.PERSON, True)
    assert await runs(tables) == []
