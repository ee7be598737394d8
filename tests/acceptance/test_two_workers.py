"""Two workers of one registry show the same tags at every moment, and either may be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.lanes import Lane, lanes_of
from tests.support.server import Server
from tests.support.writers import client_of

LANES = 8


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a registry with two workers."""
    with Server(workers=2) as made:
        yield made


async def run(server: Server, lane: Lane, moves: int) -> None:
    """Move a tag over one connection and read it over four others, which lie with one worker or the other."""
    async with AsyncExitStack() as stack:
        writer, *readers = [
            await stack.enter_async_context(client_of(server.url, server.authorization)) for _ in range(5)
        ]
        await lane.open(writer)
        await lane.run(writer, readers, moves)


@pytest.mark.parametrize("moves", [1_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_each_read_sees_the_last_push_whoever_took_it(server: Server, moves: int) -> None:
    """Every reader sees each push from its 201 on, whichever worker took it."""
    lanes = lanes_of(LANES)
    await asyncio.gather(*(run(server, lane, moves // LANES) for lane in lanes))
    assert len(set().union(*(lane.workers for lane in lanes))) == 2


async def test_either_worker_may_be_killed(server: Server) -> None:
    """With -9 for one worker and then for the other, nothing acknowledged is lost and the pushes go on."""
    lanes = lanes_of(LANES)
    async with client_of(server.url, server.authorization) as session:
        await asyncio.gather(*(lane.open(session) for lane in lanes))
        for victim in server.web_workers():
            running = [asyncio.ensure_future(lane.run_through_faults(session, 100)) for lane in lanes]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in running), "all was over before the fault"
            victim.kill()
            await asyncio.gather(*running)
            for _ in range(4):
                await asyncio.gather(*(lane.read(session) for lane in lanes))
            await server_is_whole(server)
    assert sum(lane.interrupted for lane in lanes) < 2 * 100 * LANES / 4, "the one that was left did not go on"


async def server_is_whole(server: Server) -> None:
    """Wait until the registry has two workers again."""
    for _ in range(200):
        if len(server.web_workers()) == 2:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the killed worker was not replaced\n{server.logs()}")
