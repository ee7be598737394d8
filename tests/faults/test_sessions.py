"""R8: upload sessions under clients that repeat themselves, race, vanish, or want what is not theirs."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.support.acknowledged import digest_of
from tests.support.server import Server
from tests.support.tools import find_tool
from tests.support.writers import client_of

KIB = 1024
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}}
CHUNK = 16 * KIB


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with two workers."""
    with Server(CONFIG) as running:
        yield running


async def start(session: aiohttp.ClientSession, repository: str = "a/b") -> str:
    """Open an upload; returns its address, without the state in a Location: it is good at any offset."""
    async with session.post(f"/v2/{repository}/blobs/uploads/") as answer:
        assert answer.status == 202
        return answer.headers["Location"].partition("?")[0]


async def patch(session: aiohttp.ClientSession, location: str, data: bytes, first: int) -> aiohttp.ClientResponse:
    """Send a chunk that belongs at an offset."""
    span = {"Content-Range": f"{first}-{first + len(data) - 1}"}
    async with session.patch(location, data=data, headers=span) as answer:
        await answer.read()
        return answer


async def close(session: aiohttp.ClientSession, location: str, data: bytes) -> int:
    """End an upload."""
    async with session.put(location, params={"digest": digest_of(data)}) as answer:
        return answer.status


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    """Give a body over a fifth of a second."""
    for place in range(4):
        yield data[place * len(data) // 4 : (place + 1) * len(data) // 4]
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("with_range", [True, False])
async def test_of_two_patches_at_once_one_wins(server: Server, *, with_range: bool) -> None:
    """Ten times: one gets 202, the other 416 with the offset, and the upload is whole."""
    async with client_of(server.url) as session:
        for number in range(10):
            bodies = [os.urandom(64 * KIB), os.urandom(64 * KIB)]
            location = await start(session)
            headers = {"Content-Range": f"0-{64 * KIB - 1}"} if with_range else {}
            answers = await asyncio.gather(
                *(session.patch(location, data=slowly(body), headers=headers) for body in bodies)
            )
            assert sorted(answer.status for answer in answers) == [202, 416], number
            winner = bodies[[answer.status for answer in answers].index(202)]
            for answer in answers:
                assert answer.status == 202 or answer.headers["Location"]
                answer.release()
            async with session.get(location) as status:
                assert status.headers["Range"] == f"0-{64 * KIB - 1}"
            assert await close(session, location, winner) == 201


async def test_a_replayed_chunk_is_refused_with_the_offset(server: Server) -> None:
    """A chunk sent again after its answer got lost is not stored twice; the 416 says where to go on."""
    data = os.urandom(4 * CHUNK)
    async with client_of(server.url) as session:
        location = await start(session)
        for number in range(4):
            part = data[number * CHUNK : (number + 1) * CHUNK]
            assert (await patch(session, location, part, number * CHUNK)).status == 202
            again = await patch(session, location, part, number * CHUNK)
            assert (again.status, again.headers["Range"]) == (416, f"0-{(number + 1) * CHUNK - 1}")
        assert await close(session, location, data) == 201


def signing_in(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Configure an htpasswd file of some people, each of whom may push anywhere."""
    file = folder / "htpasswd"
    file.touch()
    for name in names:
        command = [str(find_tool("htpasswd")), "-Bb", "-C4", str(file), name, f"password-of-{name}"]
        subprocess.run(command, check=True, capture_output=True)
    return {**CONFIG, "auth": {"htpasswd": {"realm": "tests", "path": str(file)}}}


@pytest.fixture
def two_users(tmp_path: Path) -> Iterator[Server]:
    """A registry that knows two people."""
    with Server(signing_in(tmp_path, ["anna", "bert"])) as running:
        yield running


def basic(name: str) -> str:
    """Write the Authorization header of a person."""
    return "Basic " + base64.b64encode(f"{name}:password-of-{name}".encode()).decode()


async def test_a_session_is_nobody_elses(two_users: Server) -> None:
    """Another person, or the same under another repository, gets 404 from every verb, and harms nothing."""
    url, data = two_users.url, os.urandom(1000)
    async with client_of(url, basic("anna")) as anna, client_of(url, basic("bert")) as bert:
        location = await start(anna)
        assert (await patch(anna, location, data, 0)).status == 202
        elsewhere = location.replace("/v2/a/b/", "/v2/a/c/")
        assert elsewhere != location
        for session, place in ((bert, location), (anna, elsewhere), (bert, elsewhere)):
            for method in ("GET", "PATCH", "PUT", "DELETE"):
                async with session.request(method, place, params={"digest": digest_of(data)}, data=b"x") as answer:
                    assert answer.status == 404, (method, place)
                    assert (await answer.json())["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"
        assert await close(anna, location, data) == 201


async def test_a_session_outlives_restarts(server: Server) -> None:
    """Stopped in the middle of a chunk and started again, the upload goes on where it says it is."""
    data = os.urandom(40 * CHUNK)
    async with client_of(server.url) as session:
        location = await start(session)
        for number in range(3):
            offset = await offset_of(session, location)
            sending = asyncio.ensure_future(session.patch(location, data=trickle(data[offset:], number)))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.kill if number % 2 else server.stop)
            await asyncio.gather(sending, return_exceptions=True)
            await asyncio.to_thread(server.start)
            assert offset <= await offset_of(session, location) <= len(data)
        offset = await offset_of(session, location)
        assert 0 < offset < len(data), "nothing was interrupted"
        assert (await patch(session, location, data[offset:], offset)).status == 202
        assert await close(session, location, data) == 201


async def trickle(data: bytes, number: int) -> AsyncIterator[bytes]:
    """Give some chunks quickly, then break off."""
    for place in range(4 + number):
        yield data[place * CHUNK : (place + 1) * CHUNK]
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    raise ConnectionResetError("the client breaks off")


async def offset_of(session: aiohttp.ClientSession, location: str) -> int:
    """Ask how far an upload has come."""
    async with session.get(location) as answer:
        assert answer.status == 204
        last = int(answer.headers["Range"].partition("-")[2])
    return last + 1 if last else 0


async def test_a_thousand_chunks_over_two_workers_are_read_back_once(server: Server) -> None:
    """Chunks that reach the workers in turn make a blob, and the workers read no byte of it more than once."""
    size = 64 * KIB
    data, workers = Random(8).randbytes(1000 * size), set()
    async with client_of(server.url) as session:
        location = await start(session)
        before = bytes_read(server)
        for offset in range(0, len(data), size):
            async with client_of(server.url) as another_connection:
                answer = await patch(another_connection, location, data[offset : offset + size], offset)
            assert answer.status == 202
            workers.add(answer.headers["X-Request-Id"].partition("-")[0])
        assert await close(session, location, data) == 201
        assert len(workers) == 2, "one worker got everything"
        assert bytes_read(server) - before < len(data) * 1.5
        async with session.get(f"/v2/a/b/blobs/{digest_of(data)}") as answer:
            assert await answer.read() == data


def bytes_read(server: Server) -> int:
    """Say how many bytes the workers have read by read(2) and its sisters; sockets have recv(2)."""
    return sum(worker.io_counters().read_chars for worker in server.web_workers())


async def abandon(session: aiohttp.ClientSession, count: int) -> list[str]:
    """Open so many uploads and leave them, some with bytes."""
    places = asyncio.Semaphore(16)

    async def one(number: int) -> str:
        async with places:
            location = await start(session)
            if number % 10 == 0:
                await patch(session, location, os.urandom(100), 0)
            return location

    return await asyncio.gather(*map(one, range(count)))


def files_of_uploads(server: Server) -> list[Path]:
    """List what lies where uploads are received."""
    return [path for path in (server.data / "entrepot" / "uploads").iterdir() if not path.name.startswith(".")]


async def purged(folder: Path, people: int, each: int) -> None:
    """Let people abandon uploads, keep one in use, and wait until the others are gone."""
    names = [f"person{number}" for number in range(people)]
    config = signing_in(folder, names)
    config["storage"] = {"maintenance": {"uploadpurging": {"enabled": True, "age": "5s", "interval": "1s"}}}
    with Server(config) as server:
        abandoned = {}
        for name in names:
            async with client_of(server.url, basic(name)) as session:
                abandoned[name] = await abandon(session, each)
        async with client_of(server.url, basic(names[0])) as session:
            await go_on_until_alone(server, session)
        for name, locations in abandoned.items():
            async with client_of(server.url, basic(name)) as session, session.get(locations[0]) as answer:
                assert answer.status == 404


async def go_on_until_alone(server: Server, session: aiohttp.ClientSession) -> None:
    """Keep one upload going until all others are gone, then end it."""
    location, data, deadline = await start(session), b"", time.monotonic() + 90
    while len(files_of_uploads(server)) > 1:
        assert time.monotonic() < deadline, server.logs()
        assert (await patch(session, location, b"still here", len(data))).status == 202
        data += b"still here"
        await asyncio.sleep(0.2)
    assert await close(session, location, data) == 201


async def test_abandoned_uploads_are_purged(tmp_path: Path) -> None:
    """Five hundred uploads that nobody goes on with are gone soon after their age, one in use stays."""
    await purged(tmp_path, people=1, each=500)


@pytest.mark.full
async def test_ten_thousand_abandoned_uploads_are_purged(tmp_path: Path) -> None:
    """Ten thousand too, of eleven people: one may have no more than a thousand at a time."""
    await purged(tmp_path, people=11, each=910)
