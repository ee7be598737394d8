"""R7: many push the same new blob at once, and some mount it while others delete it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.acknowledged import digest_of
from tests.support.server import Server
from tests.support.writers import client_of

CLIENTS = 32
ROUNDS = 40
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}, "storage": {"delete": {"enabled": True}}}


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with two workers."""
    with Server(CONFIG) as running:
        yield running


async def push(session: aiohttp.ClientSession, repository: str, data: bytes) -> int:
    """Push a blob, in two requests; returns the status of the second."""
    async with session.post(f"/v2/{repository}/blobs/uploads/") as answer:
        location = answer.headers["Location"]
    async with session.put(location, params={"digest": digest_of(data)}, data=data) as answer:
        return answer.status


async def read(session: aiohttp.ClientSession, repository: str, digest: str) -> bytes | None:
    """Read a blob; None when the repository does not hold it."""
    async with session.get(f"/v2/{repository}/blobs/{digest}") as answer:
        body = await answer.read()
        return body if answer.status == 200 else None


def files_below(folder: Path) -> list[Path]:
    """List all files below a folder, hidden ones not."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


@pytest.mark.parametrize("repositories", [CLIENTS, 1])
async def test_a_new_blob_pushed_by_many_at_once_is_stored_once(server: Server, repositories: int) -> None:
    """32 clients push one new digest at once: all get 201, all can read it, one copy is stored."""
    names = [f"many/r{number % repositories}" for number in range(CLIENTS)]
    async with client_of(server.url) as session:
        for size in (1000, 700_000):
            data = os.urandom(size)
            assert set(await asyncio.gather(*(push(session, name, data) for name in names))) == {201}
            for name in set(names):
                assert await read(session, name, digest_of(data)) == data
    assert len(files_below(server.data / "docker" / "registry" / "v2" / "blobs")) == 2
    assert files_below(server.data / "entrepot" / "uploads") == []


async def test_a_mount_during_a_delete_is_whole_or_refused(server: Server) -> None:
    """Who was told 201 for a mount can read the blob, whatever became of the source in the same moment."""
    seen = set()
    async with client_of(server.url) as session:
        for number in range(ROUNDS):
            data = os.urandom(100)
            assert await push(session, "source/a", data) == 201
            targets = [f"target/r{number}-{place}" for place in range(4)]
            deleted, *mounted = await asyncio.gather(
                delete(session, digest_of(data)), *(mount(session, target, digest_of(data)) for target in targets)
            )
            assert deleted == 202
            assert await read(session, "source/a", digest_of(data)) is None
            for target, status in zip(targets, mounted, strict=True):
                assert await read(session, target, digest_of(data)) == (data if status == 201 else None)
            seen |= set(mounted)
    assert seen == {201, 202}, "no race was seen"


async def delete(session: aiohttp.ClientSession, digest: str) -> int:
    """Delete the blob from its source."""
    async with session.delete(f"/v2/source/a/blobs/{digest}") as answer:
        return answer.status


async def mount(session: aiohttp.ClientSession, target: str, digest: str) -> int:
    """Mount the blob from its source; 202 when that was not possible."""
    url = f"/v2/{target}/blobs/uploads/"
    async with session.post(url, params={"mount": digest, "from": "source/a"}) as answer:
        return answer.status
