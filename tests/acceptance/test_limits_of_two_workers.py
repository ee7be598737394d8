"""Uploads at once and bytes in a time are counted by all workers together, and no killed one holds places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from entrepot.access.limits.upload_slots import COUNTS_FOR
from tests.support.manifests import digest_of
from tests.support.server import Server
from tests.support.writers import client_of

UPLOADS = "/v2/team/app/blobs/uploads/"
#: Connections that are opened, so that both workers have some of them; and uploads at once.
MANY = 12
LIMIT = 4
LAYER = b"x" * 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with two workers and small limits."""
    limits = {"uploads": LIMIT, "projectbytes": "3MB/day"}
    with Server({"auth": "accounts", "access": {"limits": limits}}, workers=2) as made:
        yield made


async def begin(server: Server) -> int:
    """Open an upload over a connection of its own; return the status, 0 for a connection that broke."""
    async with client_of(server.url, server.authorization) as session:
        try:
            async with session.post(server.url + UPLOADS, headers={"Connection": "close"}) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


class Sender:
    """A client that sends a blob slowly, with one request."""

    def __init__(self, server: Server) -> None:
        self._gate = asyncio.Event()
        self._task = asyncio.ensure_future(self._send(server))

    @property
    def is_going(self) -> bool:
        """Whether nobody has answered yet."""
        return not self._task.done()

    async def _send(self, server: Server) -> int:
        async def body() -> AsyncIterator[bytes]:
            while not self._gate.is_set():
                yield b"x" * 2000
                await asyncio.sleep(0.2)

        async with client_of(server.url, server.authorization, patience=60) as session:
            try:
                url = f"{server.url}{UPLOADS}?digest={digest_of(LAYER)}"
                async with session.post(url, data=body(), headers={"Connection": "close"}) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    async def end(self) -> int:
        """Let it come to its end; return the status, 0 for a connection that broke."""
        self._gate.set()
        return await self._task


async def let_in(server: Server) -> None:
    """Wait until an upload may begin."""
    async with asyncio.timeout(30):
        while await begin(server) != 202:
            await asyncio.sleep(0.2)


async def test_workers_give_out_places_together_and_a_killed_one_holds_none(server: Server) -> None:
    """Of many at once over both workers exactly four go on; when one worker is killed, its places are free again."""
    senders = [Sender(server) for _ in range(MANY)]
    async with asyncio.timeout(20):
        while len(going := [sender for sender in senders if sender.is_going]) > LIMIT:
            await asyncio.sleep(0.2)
    await asyncio.sleep(COUNTS_FOR + 1)  # longer than a place counts by itself
    assert [sender.is_going for sender in going] == [True] * LIMIT
    assert {await begin(server) for _ in range(MANY)} == {429}
    victim = max(server.web_workers(), key=lambda worker: len(worker.net_connections("tcp")))
    victim.kill()
    await let_in(server)
    ends = [await sender.end() for sender in going]
    assert set(ends) <= {0, 400}, "what came to its end has other bytes than it promised"
    assert 0 in ends, "the killed worker was sent none of them"


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
