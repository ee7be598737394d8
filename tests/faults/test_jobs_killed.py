"""Workers that run jobs are killed with -9 at random moments, ended by an upgrade, and run side by side.

Every run that was asked for ends, each of its steps is done, none is done again once it was written down, and nothing
stays in progress for ever.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from entrepot.metadata.database import Database
from entrepot.metadata.jobs import job_runs, job_steps
from entrepot.metadata.jobs.job_runs import State
from entrepot.metadata.opening import open_embedded
from tests.support import job_process
from tests.support.job_runs import ask, found, until

LEASE = 1.0
PROGRAM = Path(job_process.__file__)


class Workers:
    """Worker processes on one folder."""

    def __init__(self, folder: Path, trace: Path) -> None:
        self.folder, self.trace = folder, trace
        self.alive: list[subprocess.Popen[str]] = []

    def start(self, *, version: int = 1, seconds: float = 0.05) -> subprocess.Popen[str]:
        """Start one, and wait until it looks for work."""
        command = [sys.executable, str(PROGRAM), str(self.folder), str(self.trace), str(version)]
        command += [str(LEASE), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        self.alive.append(process)
        return process

    def end(self, process: subprocess.Popen[str], number: signal.Signals) -> None:
        """End one by a signal."""
        self.alive.remove(process)
        process.send_signal(number)
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()

    def steps(self) -> list[tuple[str, int, int]]:
        """Give what the steps wrote: (begin or end, run, number)."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [(word, int(run), int(number)) for word, run, number in map(str.split, lines)]


@contextmanager
def _workers(folder: Path, trace: Path) -> Iterator[Workers]:
    made = Workers(folder, trace)
    try:
        yield made
    finally:
        for process in list(made.alive):
            made.end(process, signal.SIGKILL)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Workers on a folder of their own."""
    with _workers(tmp_path / "data", tmp_path / "trace") as made:
        yield made


@pytest.fixture
async def metadata(workers: Workers) -> AsyncIterator[Database]:
    """The database that they work on, as a web process has it."""
    stores = await open_embedded(workers.folder)
    yield stores.metadata
    await stores.close()


async def test_a_killed_run_goes_on_where_it_was(workers: Workers, metadata: Database) -> None:
    """Killed in the third step of eight: another does that step again, and no earlier one, once the lease ends."""
    first = workers.start(seconds=0.2)
    asked = await ask(metadata)
    await until_begun(workers, asked, 2)
    workers.end(first, signal.SIGKILL)
    killed = time.monotonic()
    assert (await found(metadata, asked)).state is State.RUNNING
    workers.start()
    run = await until(metadata, asked)
    assert time.monotonic() - killed < LEASE + 8
    assert (run.state, run.attempt, run.result) == (State.SUCCEEDED, 2, job_process.STEPS)
    begun = Counter(number for word, _, number in workers.steps() if word == "begin")
    assert begun == Counter([0, 1, 2, 2, 3, 4, 5, 6, 7])


async def until_begun(workers: Workers, run: int, step: int) -> None:
    """Wait until a run is in a step."""
    async with asyncio.timeout(20):
        while ("begin", run, step) not in workers.steps():
            await asyncio.sleep(0.01)


async def test_an_upgrade_interrupts_runs_and_goes_on_with_them(workers: Workers, metadata: Database) -> None:
    """SIGTERM puts a run back at its next step; the next version begins it at once, anew if the kind says so."""
    old = workers.start(seconds=0.2)
    asked = await ask(metadata)
    await until_begun(workers, asked, 2)
    workers.end(old, signal.SIGTERM)
    run = await found(metadata, asked)
    assert (run.state, run.attempt) == (State.PENDING, 0)
    before = len(workers.steps())
    workers.start(version=2)
    run = await until(metadata, asked)
    assert (run.state, run.attempt, run.version) == (State.SUCCEEDED, 1, 2)
    begun = [number for word, _, number in workers.steps()[before:] if word == "begin"]
    assert begun == list(range(job_process.STEPS))


async def kill_and_ask(workers: Workers, metadata: Database, rounds: int) -> list[int]:
    """Let two workers run, kill one again and again at random moments, and ask for runs meanwhile."""
    random = Random(4)
    asked: list[int] = []
    workers.start()
    for _ in range(rounds):
        victim = workers.start()
        asked += [await ask(metadata, subject=f"s{random.randrange(6)}") for _ in range(3)]
        await asyncio.sleep(random.uniform(0, 0.6))
        if random.random() < 0.3:
            victim = workers.alive[0]
        workers.end(victim, signal.SIGKILL)
    return asked


async def everything_ends(workers: Workers, metadata: Database, rounds: int) -> None:
    """Show that what was asked for is done, and done once, whoever was killed."""
    asked = await kill_and_ask(workers, metadata, rounds)
    for run in reversed(asked):  # the newest first: of many runs the oldest are forgotten, once they have ended
        if await job_runs.find(metadata, run) is not None:
            await until(metadata, run, seconds=60)
    ended = [run for number in asked if (run := await job_runs.find(metadata, number)) is not None]
    assert len(ended) >= 18
    assert {run.state for run in ended} == {State.SUCCEEDED}
    done = Counter((run, number) for word, run, number in workers.steps() if word == "end")
    assert set(done) == {(run, number) for run in asked for number in range(job_process.STEPS)}
    # A step whose worker was killed between its end and the commit is done again; that is seldom, and no other is.
    repeated = sum(done.values()) - len(done)
    assert repeated <= 4 * rounds
    for run in ended:
        steps = await job_steps.of_run(metadata, run.id)
        assert [step.name for step in steps] == [f"step {number}" for number in range(job_process.STEPS)]
        assert all(step.ended_at is not None for step in steps)
    assert await job_runs.find_active(metadata, "probe") is None


async def test_whatever_is_killed_every_run_ends(workers: Workers, metadata: Database) -> None:
    """Six kills of one of two workers, eighteen runs."""
    await everything_ends(workers, metadata, rounds=6)


@pytest.mark.full
async def test_whatever_is_killed_a_hundred_times_every_run_ends(workers: Workers, metadata: Database) -> None:
    """The long form: a hundred kills, three hundred runs."""
    await everything_ends(workers, metadata, rounds=100)
