"""Runs of jobs: asked for with a transaction, begun once, taken up again, stopped, failed, written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from entrepot.jobs.dispatcher import Dispatcher
from entrepot.jobs.run import JobRun
from entrepot.metadata import clock, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import job_claims, job_lines, job_runs, job_steps
from entrepot.metadata.jobs.job_claims import Claim
from entrepot.metadata.jobs.job_runs import Cause, State, Wanted
from entrepot.metadata.query import RawQuery
from entrepot.telemetry.instruments import Metrics
from tests.support.job_runs import TIMES, ask, found, kind, until, worker


async def echo(run: JobRun) -> Any:
    """Return what the run was given."""
    return dict(run.parameters)


async def wait_for(check: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


async def test_a_run_is_done_and_its_result_is_kept(tables: Database) -> None:
    """What it was given, what it says, how far it is, its result and its times are all in its row."""

    async def work(run: JobRun) -> dict[str, int]:
        await run.step(1, 2)
        await run.say("half of it")
        await run.step(2, 2)
        return {"freed": run.parameters["bytes"]}

    asked = await ask(tables, parameters={"bytes": 7}, actor="alice", cause=Cause.MANUAL)
    async with worker(tables, kind(work, parameters={"bytes": 0, "slow": False})):
        run = await until(tables, asked)
    assert (run.state, run.result, run.done, run.total, run.error) == (State.SUCCEEDED, {"freed": 7}, 2, 2, None)
    assert (run.actor, run.cause, run.attempt, run.holder) == ("alice", Cause.MANUAL, 1, None)
    assert run.created_at <= (run.started_at or 0) <= (run.ended_at or 0)
    assert [line.text for line in await job_lines.page(tables, asked)] == ["half of it"]


async def test_a_run_and_the_change_that_wants_it_are_committed_together(tables: Database) -> None:
    """A transaction that fails asks for nothing."""

    async def change(tx: Transaction) -> None:
        await settings.put(tx, "changed", "yes")
        await job_runs.ask(tx, Wanted(kind="probe"))
        raise ZeroDivisionError

    with suppress(ZeroDivisionError):
        await tables.write(change)
    assert await settings.find(tables, "changed") is None
    assert await job_claims.active_kinds(tables) == set()


async def test_a_run_is_begun_once_however_many_workers_look(tables: Database) -> None:
    """Three workers and forty runs: each is done once, and never two of a subject at a time."""
    began: list[int] = []
    at_work: set[str] = set()

    async def work(run: JobRun) -> None:
        assert run.subject not in at_work
        at_work.add(run.subject)
        began.append(run.id)
        await asyncio.sleep(0.01)
        at_work.remove(run.subject)

    asked = [await ask(tables, subject=f"project:{number % 4}") for number in range(40)]
    probe = kind(work, parallel=3)
    async with worker(tables, probe), worker(tables, probe), worker(tables, probe):
        ended = [await until(tables, run) for run in asked]
    assert {run.state for run in ended} == {State.SUCCEEDED}
    assert sorted(began) == asked


async def test_a_long_run_of_one_kind_holds_up_no_other(tables: Database) -> None:
    """A queue for each kind: while one is busy, another's runs are done."""
    free = asyncio.Event()

    async def scan(run: JobRun) -> None:
        await free.wait()

    scans = [await ask(tables, "scan"), await ask(tables, "scan", subject="other")]
    async with worker(tables, kind(scan, "scan"), kind(echo, "replicate")):
        await until(tables, scans[0], State.RUNNING)
        copied = [await ask(tables, "replicate") for _ in range(5)]
        for run in copied:
            assert (await until(tables, run)).state is State.SUCCEEDED
        assert [(await found(tables, run)).state for run in scans] == [State.RUNNING, State.PENDING]
        free.set()
        await until(tables, scans[1])


async def test_a_run_whose_worker_died_is_taken_up_by_another(tables: Database) -> None:
    """Once its lease is over, by the next worker, which does only the steps that are not done."""
    done: list[str] = []

    async def work(run: JobRun) -> list[str]:
        async def part(name: str) -> str:
            done.append(f"{name} in attempt {run.attempt}")
            if name == "copy" and run.attempt == 1:
                await asyncio.sleep(3600)
            return name

        return [await run.once(name, lambda name=name: part(name)) for name in ("list", "copy", "sum")]

    asked = await ask(tables)
    probe = kind(work, attempts=2)
    dead = asyncio.create_task(Dispatcher(tables, tables, [probe], Metrics(), times=TIMES).run(asyncio.Event()))
    await wait_for(lambda: len(done) == 2)
    for task in asyncio.all_tasks():
        if task.get_name() == "probe":
            await die(dead, task)
    assert (await found(tables, asked)).state is State.RUNNING
    began = asyncio.get_running_loop().time()
    async with worker(tables, probe):
        run = await until(tables, asked)
    assert asyncio.get_running_loop().time() - began < TIMES.lease + 1
    assert (run.state, run.attempt, run.result) == (State.SUCCEEDED, 2, ["list", "copy", "sum"])
    assert done == ["list in attempt 1", "copy in attempt 1", "copy in attempt 2", "sum in attempt 2"]
    assert [step.name for step in await job_steps.of_run(tables, asked)] == ["list", "copy", "sum"]


async def die(dispatcher: asyncio.Task[None], execution: asyncio.Task[Any]) -> None:
    """End a worker as kill -9 would: without a word to the database."""
    execution.cancel()
    await asyncio.gather(execution, return_exceptions=True)
    dispatcher.cancel()
    await asyncio.gather(dispatcher, return_exceptions=True)


async def test_a_run_that_kills_its_workers_fails(tables: Database) -> None:
    """After the attempts of its kind it is not begun again: nothing is in progress for ever."""
    asked = await ask(tables)
    for _ in range(2):
        claimed = await tables.write(lambda tx: job_claims.claim(tx, asked, "somebody", seconds=0))
        assert claimed is not None
    async with worker(tables, kind(echo, attempts=2)):
        run = await until(tables, asked)
    assert (run.state, run.error, run.holder) == (State.FAILED, "its worker died 2 times", None)


async def test_who_was_taken_for_dead_changes_nothing(tables: Database) -> None:
    """A worker that stood still and comes back can neither report progress nor an end: the run is another's."""
    asked = await ask(tables)
    await tables.write(lambda tx: job_claims.claim(tx, asked, "first", seconds=0))
    await tables.write(lambda tx: job_claims.claim(tx, asked, "second", seconds=60))
    late = Claim(run=asked, holder="first", attempt=1)
    assert not await tables.write(lambda tx: job_claims.beat(tx, late, done=9, total=9, seconds=60))
    assert await job_claims.is_to_stop(tables, late) is None
    end = {"done": 9, "total": 9, "result": None, "error": None}
    assert not await tables.write(lambda tx: job_claims.end(tx, late, State.SUCCEEDED, **end))
    run = await found(tables, asked)
    assert (run.state, run.holder, run.attempt, run.done) == (State.RUNNING, "second", 2, 0)


async def test_who_lost_a_run_stops_working(tables: Database) -> None:
    """It notices at its next beat and is cancelled."""
    ended = asyncio.Event()

    async def work(run: JobRun) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    asked = await ask(tables)
    async with worker(tables, kind(work)) as metrics:
        run = await until(tables, asked, State.RUNNING)
        mine = Claim(run=asked, holder=run.holder or "", attempt=1)
        await tables.write(
            lambda tx: job_claims.end(tx, mine, State.STOPPED, done=0, total=None, result=None, error=None)
        )
        await asyncio.wait_for(ended.wait(), 5)
        await wait_for(lambda: results(metrics) == {"lost": 1})


def results(metrics: Metrics) -> dict[str, float]:
    """Give how many runs ended how."""
    family = next(family for family in metrics.families() if family.name == "entrepot_job_runs")
    return {labels[1]: numbers[0] for labels, numbers in family.series.items()}


async def test_a_failed_run_is_tried_again_with_a_bound(tables: Database) -> None:
    """Three attempts, then it has failed, with the last error and a line for each of the others."""
    asked = await ask(tables)

    async def work(run: JobRun) -> None:
        raise OSError(f"no space in attempt {run.attempt}")

    async with worker(tables, kind(work, attempts=3)):
        run = await until(tables, asked)
    assert (run.state, run.attempt, run.error) == (State.FAILED, 3, "no space in attempt 3")
    lines = [line.text for line in await job_lines.page(tables, asked)]
    assert [line[: line.index(";")] for line in lines] == [
        f"attempt {n} failed: no space in attempt {n}" for n in (1, 2)
    ]


async def test_a_running_run_is_stopped_between_steps(tables: Database) -> None:
    """Somebody asks; the work ends at its next step, and what it did so far is kept."""
    asked = await ask(tables)
    async with worker(tables, kind(count_up)):
        await until(tables, asked, State.RUNNING)
        assert await tables.write(lambda tx: job_runs.stop(tx, asked))
        run = await until(tables, asked)
    assert (run.state, run.error) == (State.STOPPED, None)
    assert run.done > 0
    assert not await tables.write(lambda tx: job_runs.stop(tx, asked))


async def count_up(run: JobRun) -> None:
    """Go on until told to stop."""
    done = 0
    while True:
        await asyncio.sleep(0.01)
        done += 1
        await run.step(done)


async def test_a_run_that_hears_nothing_is_cancelled(tables: Database) -> None:
    """One that takes no step within the time for ending is ended in the middle of what it does."""

    async def deaf(run: JobRun) -> None:
        await asyncio.sleep(3600)

    asked = await ask(tables)
    async with worker(tables, kind(deaf)):
        await until(tables, asked, State.RUNNING)
        await tables.write(lambda tx: job_runs.stop(tx, asked))
        assert (await until(tables, asked)).state is State.STOPPED


async def test_a_waiting_run_is_stopped_at_once(tables: Database) -> None:
    """No worker need look at it."""
    asked = await ask(tables)
    assert await tables.write(lambda tx: job_runs.stop(tx, asked))
    assert (await found(tables, asked)).state is State.STOPPED


async def test_a_run_without_a_sign_of_life_is_ended(tables: Database) -> None:
    """However well its worker is: it fails after its kind's patience."""

    async def hang(run: JobRun) -> None:
        await run.say("going to sleep")
        await asyncio.sleep(3600)

    asked = await ask(tables)
    async with worker(tables, kind(hang, patience=0.3)):
        run = await until(tables, asked)
    assert (run.state, run.error) == (State.FAILED, "it gave no sign of life for 0.3 s")


async def test_a_worker_that_ends_puts_its_runs_back(tables: Database) -> None:
    """As over an upgrade: the next worker goes on at once, and the attempt does not count."""
    asked = await ask(tables)
    async with worker(tables, kind(count_up)):
        await until(tables, asked, State.RUNNING)
    run = await found(tables, asked)
    assert (run.state, run.attempt, run.holder) == (State.PENDING, 0, None)
    async with worker(tables, kind(echo)):
        run = await until(tables, asked)
    assert (run.state, run.attempt) == (State.SUCCEEDED, 1)


async def test_a_run_of_an_older_version_begins_anew(tables: Database) -> None:
    """What an upgrade finds half done with other code is done from the start; what is newer is left alone."""
    calls: list[int] = []

    async def work(run: JobRun) -> None:
        async def part() -> None:
            calls.append(run.id)

        await run.once("part", part)

    old, new = await ask(tables, version=1), await ask(tables, version=3, subject="new")
    await tables.write(lambda tx: job_steps.begin(tx, old, "part"))
    await tables.write(lambda tx: job_steps.end(tx, old, "part", None))
    async with worker(tables, kind(work, version=2)):
        run = await until(tables, old)
    assert (run.state, run.version, calls) == (State.SUCCEEDED, 2, [old])
    assert (await found(tables, new)).state is State.PENDING


async def test_what_nobody_can_run_fails_after_a_day(tables: Database) -> None:
    """Runs of kinds that are gone, and of versions that a downgrade left behind, do not wait for ever."""
    lost = [await ask(tables, "gone"), await ask(tables, version=9)]
    yesterday = RawQuery(
        f"UPDATE job_runs SET created_at = {clock.after(-25 * 3600)}, due_at = {clock.after(-25 * 3600)}"
    )
    await tables.write(lambda tx: tx.execute(yesterday))
    young = await ask(tables, "gone")
    async with worker(tables, kind(echo)):
        ended = [await until(tables, run) for run in lost]
    assert {(run.state, run.error) for run in ended} == {
        (State.FAILED, "no worker of the last day knows how to run it")
    }
    assert (await found(tables, young)).state is State.PENDING


async def test_history_is_bounded(tables: Database) -> None:
    """Of a kind the latest ended runs are kept, with their lines and steps; older ones go."""

    async def work(run: JobRun) -> None:
        await run.say("a line")

    async with worker(tables, kind(work, kept=3)):
        asked = [await ask(tables) for _ in range(6)]
        await until(tables, asked[-1])
    kept = [run for run in asked if await job_runs.find(tables, run) is not None]
    assert kept == asked[-3:]
    assert [await job_lines.page(tables, run) for run in asked[:3]] == [[], [], []]


async def test_old_history_goes_by_its_age(tables: Database) -> None:
    """However few there are."""
    async with worker(tables, kind(echo, kept_for=0.5)):
        first = await ask(tables)
        await until(tables, first)
        await asyncio.sleep(0.6)
        second = await ask(tables)
        await until(tables, second)
    assert await job_runs.find(tables, first) is None


async def test_the_log_of_a_run_is_bounded(tables: Database) -> None:
    """The latest lines stay, each cut at a length."""

    async def talk(run: JobRun) -> None:
        for number in range(job_lines.KEPT + 50):
            await run.say(f"line {number} " + "x" * 5_000)

    asked = await ask(tables)
    async with worker(tables, kind(talk)):
        await until(tables, asked)
    lines = await job_lines.page(tables, asked)
    assert len(lines) == job_lines.KEPT
    assert lines[-1].text.startswith(f"line {job_lines.KEPT + 49} ")
    assert {len(line.text) for line in lines} == {job_lines.LONGEST}


@pytest.mark.parametrize("result", [object(), "x" * 70_000], ids=["no JSON", "too large"])
async def test_a_result_that_cannot_be_kept_is_a_failure(tables: Database, result: object) -> None:
    """The run says so instead of going on for ever."""

    async def work(run: JobRun) -> object:
        return result

    asked = await ask(tables)
    async with worker(tables, kind(work)):
        assert (await until(tables, asked)).state is State.FAILED
