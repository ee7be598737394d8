"""R6: many write and read one tag over two workers, and every reader sees what a single register would show."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.acknowledged import OCI_MANIFEST, digest_of
from tests.support.database_fixtures import postgres
from tests.support.postgres import PostgresServer
from tests.support.register import Operation, violations
from tests.support.server import Server
from tests.support.writers import client_of

__all__ = ["postgres"]

WRITERS = READERS = 16
URL = "/v2/one/tag/manifests/latest"
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}}


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with two workers."""
    with Server(CONFIG) as running:
        yield running


class History:
    """What many clients did to one tag, by one clock, and which workers answered."""

    def __init__(self, session: aiohttp.ClientSession, operations: int) -> None:
        self.done: list[Operation] = []
        self.workers: set[str] = set()
        self._session = session
        self._wanted = operations

    async def write_on(self, name: str) -> None:
        """Move the tag to one new manifest after the other."""
        number = 0
        while len(self.done) < self._wanted:
            number += 1
            await self.write(f"{name}-{number}")

    async def write(self, name: str) -> None:
        """Move the tag to a new manifest."""
        body, headers, start = manifest(name), {"Content-Type": OCI_MANIFEST}, time.monotonic()
        async with self._session.put(URL, data=body, headers=headers) as answer:
            self._note(answer, digest_of(body), start, 201)

    async def read_on(self, method: str) -> None:
        """Ask where the tag points, again and again."""
        while len(self.done) < self._wanted:
            start = time.monotonic()
            async with self._session.request(method, URL, headers={"Accept": OCI_MANIFEST}) as answer:
                body = await answer.read()
                digest = answer.headers["Docker-Content-Digest"]
                assert method == "HEAD" or digest_of(body) == digest
                self._note(answer, digest, start, 200)

    def _note(self, answer: aiohttp.ClientResponse, digest: str, start: float, expected: int) -> None:
        assert answer.status == expected, answer
        operation = Operation(value=digest, is_write=expected == 201, start=start, end=time.monotonic())
        self.done.append(operation)
        self.workers.add(answer.headers["X-Request-Id"].partition("-")[0])


def manifest(name: str) -> bytes:
    """Write an image manifest like no other, of one blob."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]}
    return json.dumps({**document, "annotations": {"name": name}}).encode()


async def play(server: Server, operations: int) -> None:
    """Let everybody write and read, then judge."""
    async with client_of(server.url) as session:
        async with session.post(f"/v2/one/tag/blobs/uploads/?digest={digest_of(b'{}')}", data=b"{}") as answer:
            assert answer.status == 201
        history = History(session, operations)
        await history.write("first")
        readers = [history.read_on(("GET", "HEAD")[number % 2]) for number in range(READERS)]
        await asyncio.gather(*(history.write_on(f"writer{number}") for number in range(WRITERS)), *readers)
        assert violations(history.done) == []
        assert len(history.workers) == 2, "one worker answered everything"
        await all_there(session, {operation.value for operation in history.done if operation.is_write})


async def all_there(session: aiohttp.ClientSession, digests: set[str]) -> None:
    """Look for every manifest that was pushed, overwritten or not."""

    async def look(some: list[str]) -> None:
        for digest in some:
            async with session.head(f"/v2/one/tag/manifests/{digest}") as answer:
                assert answer.status == 200, digest

    ordered = sorted(digests)
    await asyncio.gather(*(look(ordered[start::READERS]) for start in range(READERS)))


async def test_a_tag_is_a_register(server: Server) -> None:
    """20,000 reads and writes of one tag by 32 clients have an order that explains every answer."""
    await play(server, 20_000)


async def test_a_tag_is_a_register_on_postgresql(postgres: PostgresServer) -> None:
    """The same with the tag in PostgreSQL, where questions of readers are gathered and answers given again."""
    with postgres.database() as url, Server(CONFIG, database=url) as running:
        await play(running, 3_000)
