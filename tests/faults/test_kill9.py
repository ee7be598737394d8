"""R1: processes of a registry are killed with -9 at random moments while four clients push.

Nothing that was acknowledged is lost, nothing is half there, uploads go on where they say they stand, and the files
kept for registry:2 can be brought up to date afterwards. What a kill cannot show (the kernel keeps all that was
written) is shown by tests/faults/test_power_cuts.py.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import psutil
import pytest

from tests.support.acknowledged import Ledger
from tests.support.server import Server
from tests.support.writers import INTERRUPTIONS, Writer, client_of

WRITERS = 4
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}}


def kill_a_worker(server: Server, random: Random) -> None:
    """Kill one of the processes that answer requests."""
    random.choice(server.web_workers()).kill()


def kill_the_web_server(server: Server, random: Random) -> None:
    """Kill the process above the workers, which takes them along."""
    server.web_main().kill()


def kill_the_job_worker(server: Server, random: Random) -> None:
    """Kill the process that runs jobs."""
    server.job_worker().kill()


def kill_everything(server: Server, random: Random) -> None:
    """Kill all processes, in no order, and start anew."""
    family = server.family()
    for process in random.sample(family, len(family)):
        process.kill()
    server.wait(10)
    psutil.wait_procs(family, timeout=10)
    server.start()


KILLS = (kill_a_worker, kill_everything, kill_the_job_worker, kill_the_web_server)


async def settled(server: Server) -> None:
    """Wait until every process is there and stays for half a second: a web server stops when a worker dies young."""
    seen: list[set[int]] = []
    for _ in range(600):
        await asyncio.sleep(0.1)
        seen = [*seen[-5:], pids(server)]
        if len(seen) == 6 and seen[0] and all(now == seen[0] for now in seen):
            return
    raise AssertionError(f"not complete within 60 s\n{server.logs()}")


def pids(server: Server) -> set[int]:
    """Give the ids of all processes, nothing while one is missing."""
    try:
        workers, others = server.web_workers(), [server.web_main(), server.job_worker()]
    except (LookupError, psutil.Error):
        return set()
    return {process.pid for process in [*workers, *others]} if len(workers) == 2 else set()


async def first_answer(server: Server) -> float:
    """Wait for an answer; returns the seconds that took."""
    begun = time.monotonic()
    while time.monotonic() - begun < 30:
        try:
            async with client_of(server.url) as session, session.get("/v2/") as answer:
                if answer.status == 200:
                    return time.monotonic() - begun
        except INTERRUPTIONS:
            await asyncio.sleep(0.02)
    raise AssertionError(f"no answer within 30 s\n{server.logs()}")


async def write_and_kill(
    server: Server, ledger: Ledger, random: Random, kill: Callable[[Server, Random], None]
) -> float:
    """Let writers push, kill in the middle of it, let them go on for a moment; returns seconds to the next answer."""
    stop = asyncio.Event()
    async with client_of(server.url) as session:
        names = [f"writer{number}" for number in range(WRITERS)]
        writers = [Writer(name, ledger, Random(random.random()), session) for name in names]
        running = asyncio.gather(*(writer.run(stop) for writer in writers))
        await asyncio.sleep(random.uniform(0.05, 0.6))
        await asyncio.to_thread(kill, server, random)
        answered_in = await first_answer(server)
        await asyncio.sleep(0.1)
        stop.set()
        await running
    return answered_in


async def lost(server: Server, ledger: Ledger) -> list[str]:
    """Look for everything that was acknowledged; again when a late end of a process got in between."""
    for _ in range(5):
        await settled(server)
        await first_answer(server)
        with suppress(*INTERRUPTIONS):
            async with client_of(server.url) as session:
                return await ledger.check(session)
    raise AssertionError(f"nobody answers for long enough\n{server.logs()}")


async def kill_again_and_again(times: int, seed: int) -> None:
    """Kill so many times, and look after each."""
    random, ledger, answered = Random(seed), Ledger(), []
    with Server(CONFIG) as server:
        for kill in itertools.islice(itertools.cycle(KILLS), times):
            answered.append(await write_and_kill(server, ledger, random, kill))
            assert await lost(server, ledger) == [], f"after {kill.__name__} (seed {seed})"
        assert ledger.refused == []
        assert ledger.interrupted >= times / 4, "the kills hit nobody"
        assert len(ledger.manifests) >= times
        assert statistics.median(answered) <= 3
        print(f"{times} kills, {len(ledger.blobs)} blobs, {len(ledger.manifests)} manifests, {ledger.interrupted} cut")
        server.run("layout", "write", str(server.data))
        server.run("layout", "check", str(server.data))
        assert server.stop() == 0


async def test_nothing_acknowledged_is_lost_by_kills() -> None:
    """Twelve kills of workers, of the web server, of the job worker and of everything lose nothing."""
    await kill_again_and_again(12, seed=1)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_nothing_acknowledged_is_lost_by_fifty_kills() -> None:
    """The same fifty times."""
    await kill_again_and_again(50, seed=2)
