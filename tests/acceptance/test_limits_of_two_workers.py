"""Uploads at once and bytes in a time are counted by all workers together, and no killed one holds places."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.manifests import digest_of
from tests.support.server import Server
from tests.support.writers import client_of

UPLOADS = "/v2/team/app/blobs/uploads/"
#: Connections that are opened, so that both workers have some of them.
MANY = 12
LAYER = b"x" * 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with two workers and small limits."""
    limits = {"uploads": 4, "projectbytes": "3MB/day"}
    with Server({"auth": "accounts", "access": {"limits": limits}}, workers=2) as made:
        yield made


async def begin(server: Server) -> tuple[int, str]:
    """Open an upload over a connection of its own."""
    async with (
        client_of(server.url, server.authorization) as session,
        session.post(server.url + UPLOADS, headers={"Connection": "close"}) as answer,
    ):
        return answer.status, answer.headers.get("Location", "")


async def begin_many(server: Server) -> list[str]:
    """Open many uploads at once; return those that are let in."""
    answers = await asyncio.gather(*(begin(server) for _ in range(MANY)))
    assert {status for status, _ in answers} <= {202, 429}
    return [location for status, location in answers if status == 202]


class Sender:
    """A client that sends an upload slowly."""

    def __init__(self, server: Server, location: str) -> None:
        self._gate = asyncio.Event()
        self._task = asyncio.ensure_future(self._send(server, location))

    async def _send(self, server: Server, location: str) -> int:
        async def body() -> object:
            while not self._gate.is_set():
                yield b"x" * 2000
                await asyncio.sleep(0.2)

        async with client_of(server.url, server.authorization) as session:
            try:
                async with session.patch(location, data=body()) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    async def end(self) -> int:
        """Let it come to its end; return the status, 0 for a connection that broke."""
        self._gate.set()
        return await self._task


async def let_in_after(server: Server) -> float:
    """Return the seconds until an upload may begin."""
    started = time.monotonic()
    async with asyncio.timeout(20):
        while (await begin(server))[0] != 202:
            await asyncio.sleep(0.2)
    return time.monotonic() - started


async def test_workers_give_out_places_together_and_a_killed_one_holds_none(server: Server) -> None:
    """Of many at once over both workers exactly four go on; when one worker is killed, its places are free again."""
    let_in = await begin_many(server)
    assert len(let_in) == 4
    senders = [Sender(server, location) for location in let_in]
    await asyncio.sleep(7)  # longer than a place counts by itself
    assert await begin_many(server) == []
    victim = max(server.web_workers(), key=lambda worker: len(worker.net_connections("tcp")))
    victim.kill()
    waited = await let_in_after(server)
    ends = [await sender.end() for sender in senders]
    assert set(ends) <= {0, 202}
    assert 0 in ends, "the killed worker was sent none of them"
    assert waited < 12


async def test_workers_count_bytes_together(server: Server) -> None:
    """What went through one worker is gone at the other a moment later."""
    async with client_of(server.url, server.authorization) as session:
        url = f"{server.url}/v2/bytes/app/blobs/uploads/?digest={digest_of(LAYER)}"
        statuses = []
        for _ in range(3):
            async with session.post(url, data=LAYER) as answer:
                statuses.append(answer.status)
        assert statuses == [201] * 3
    await asyncio.sleep(2.5)
    blob = f"{server.url}/v2/bytes/app/blobs/{digest_of(LAYER)}"
    for _ in range(MANY):
        async with (
            client_of(server.url, server.authorization) as session,
            session.get(blob, headers={"Connection": "close"}) as answer,
        ):
            last = answer.status
            await answer.read()
        await asyncio.sleep(0.2)
    assert last == 429
