"""R13: clients that are slow on purpose, by the thousand: half-open requests, dripped bodies, readers that stop.

What the edge does about each is in docs/adr/0001, its single cases in test_server_edge.py; this is about many at once,
and about those who are not slow meanwhile. Left to a proxy in front: a reader that goes on, however slowly, is
never cut (it costs a bounded buffer), and connections are not counted by client address.
"""

from __future__ import annotations

import asyncio
import io
import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.support.acknowledged import digest_of
from tests.support.http_client import Client
from tests.support.raw_client import Encounter, Pings, encounter
from tests.support.server import Server
from tests.support.writers import client_of

MIB = 1 << 20
HALF_OPEN = 2000
HALF_OPEN_SECONDS = 10
#: For clients that share the processor with the server.
SLACK = 3
MORE_FILES = 4096


def config(bodytimeout: str | None) -> dict[str, Any]:
    """Configure a registry whose patience with bodies is shorter than usual, or as usual."""
    limits = {"limits": {"bodytimeout": bodytimeout}} if bodytimeout else {}
    return {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}, "http": limits}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry that waits three seconds for the bytes of a body, and for readers."""
    with Server(config("3s")) as running:
        yield running


@pytest.fixture(scope="module")
def bystander() -> Iterator[Server]:
    """A registry that nobody else asks: what it is slow at, the machine is slow at."""
    with Server(config(None), workers=1) as running:
        yield running


@pytest.fixture
def patient_server() -> Iterator[Server]:
    """A registry as it comes."""
    with Server(config(None)) as running:
        yield running


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Let this process hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MORE_FILES)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(server: Server) -> dict[int, int]:
    """Say how much memory each worker has, in bytes."""
    return {worker.pid: worker.memory_info().rss for worker in server.web_workers()}


def growth(server: Server, before: dict[int, int]) -> float:
    """Say by how many mebibytes the worker that grew most has grown."""
    return max(now - before[pid] for pid, now in memory(server).items()) / MIB


def connections(server: Server) -> int:
    """Count the connections that the workers have open, those to each other not."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for worker in server.web_workers()
        for connection in worker.net_connections("tcp")
    )


async def half_open(port: int, number: int) -> Encounter:
    """Begin a request and never end its head; every second client goes on with it, a byte each second."""
    head = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "
    return await encounter(port, head, drip=b"a" if number % 2 else b"", every=1)


def assert_quick(pings: Pings, elsewhere: Pings) -> None:
    """See that 99 of 100 pings took less than 100 ms, or not much more than at a registry without any trouble."""
    assert pings.percentile(0.99) < max(0.1, 3 * elsewhere.percentile(0.99))


async def test_half_open_requests_are_closed_and_harm_nobody(server: Server, bystander: Server) -> None:
    """2,000 of them are closed within ten seconds; meanwhile 99 of 100 pings take less than 100 ms."""
    before, files = memory(server), open_files(server)
    async with Pings(server.port) as pings, Pings(bystander.port) as elsewhere:
        results = await asyncio.gather(*(half_open(server.port, number) for number in range(HALF_OPEN)))
    assert all(result.closed for result in results)
    assert max(result.seconds for result in results) < HALF_OPEN_SECONDS + SLACK
    assert len(pings.seconds) > 100
    assert_quick(pings, elsewhere)
    assert growth(server, before) < 50
    assert open_files(server) <= files + 8


def open_files(server: Server) -> int:
    """Count the descriptors of the workers."""
    return sum(worker.num_fds() for worker in server.web_workers())


BODIES = {
    "stalled": (b"PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc", b""),
    "dripped": (b"PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc", b"x" * 100),
    "dripped in chunks": (b"PATCH %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an endless chunk size": (b"PATCH %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "dripped at the end": (
        b"PUT %s&digest=sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"",
    ),
    "a dripped manifest": (b"PUT /v2/a/b/manifests/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", b" "),
}


async def slow_bodies(server: Server, patience: float) -> None:
    """Send every slow body at once, and see each refused in time."""
    client = Client.of(server)
    locations = {name: client.request("POST", "/v2/a/b/blobs/uploads/").location for name in BODIES}
    requests = [
        encounter(server.port, head.replace(b"%s", locations[name].encode()), drip=drip)
        for name, (head, drip) in BODIES.items()
    ]
    for name, result in zip(BODIES, await asyncio.gather(*requests), strict=True):
        assert result.closed, name
        assert patience - 0.1 <= result.seconds < patience * 2 + SLACK, name
        [reply] = result.replies
        assert (reply.status, reply.code) == (408, "UNAVAILABLE"), name
        assert reply.headers["connection"] == "close", name


async def test_slow_bodies_are_cut(server: Server) -> None:
    """A body that stalls, or comes slower than 1 KiB/s, is answered 408 and the connection closed."""
    await slow_bodies(server, 3)


@pytest.mark.full
async def test_slow_bodies_are_cut_after_thirty_seconds(patient_server: Server) -> None:
    """Without a configuration, after 30 seconds."""
    await slow_bodies(patient_server, 30)


async def test_idle_connections_are_closed(server: Server) -> None:
    """A connection that nobody uses is closed within 75 seconds (the server's one timer does it after 10)."""
    heads = (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"")
    answered, silent = await asyncio.gather(*(encounter(server.port, head, patience=75) for head in heads))
    assert answered.closed
    assert answered.replies[0].status == 200
    assert silent.closed


async def push_random(server: Server, size: int) -> str:
    """Push a large blob; returns its digest."""
    data = random.Random(size).randbytes(MIB) * (size // MIB)
    digest = digest_of(data)
    async with client_of(server.url) as session:
        url = f"/v2/a/b/blobs/uploads/?digest={digest}"
        async with session.post(url, data=io.BytesIO(data)) as answer:
            assert answer.status == 201
    return digest


def begin_reading(server: Server, digest: str, *, ranged: bool) -> socket.socket:
    """Ask for the whole blob, or for all but its first byte, read a little and stop."""
    connection = socket.create_connection(("127.0.0.1", server.port), 10)
    span = "Range: bytes=1-\r\n" if ranged else ""
    connection.sendall(f"GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{span}\r\n".encode())
    assert connection.recv(1000).startswith((b"HTTP/1.1 200", b"HTTP/1.1 206"))
    return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Readers who stop, and what they may cost one worker."""

    number: int
    ranged: bool
    mebibytes: int


#: The server sends whole files by itself, from a small buffer. Parts go through the application: some six pieces are on
#: their way (`adapters/blobs/piece_size.py`), of a mebibyte for the first two readers, of 64 KiB after the 64th.
READERS = [
    pytest.param(Readers(number=100, ranged=False, mebibytes=50), id="whole"),
    pytest.param(Readers(number=20, ranged=True, mebibytes=64), id="parts"),
]


async def stalled_readers(server: Server, bystander: Server, size: int, readers: Readers, patience: float) -> None:
    """Let readers stop in the middle of a blob; see the cost, and that they are cut."""
    digest = await push_random(server, size)
    before, idle = memory(server), connections(server)
    with ExitStack() as stack:
        for _ in range(readers.number):
            stack.enter_context(begin_reading(server, digest, ranged=readers.ranged))
        begun = time.monotonic()
        async with Pings(server.port) as pings, Pings(bystander.port) as elsewhere:
            await asyncio.sleep(1)
            assert connections(server) >= idle + readers.number
            assert growth(server, before) < readers.mebibytes
            while connections(server) > idle + 1:  # the ping's own
                assert time.monotonic() - begun < patience * 2 + 10 * SLACK
                await asyncio.sleep(0.2)
        assert time.monotonic() - begun > patience / 2
    assert_quick(pings, elsewhere)


@pytest.mark.parametrize("readers", READERS)
async def test_readers_that_stop_are_cut(server: Server, bystander: Server, readers: Readers) -> None:
    """Readers who stop in the middle of 64 MiB are cut; they cost little memory, and nobody else waits."""
    await stalled_readers(server, bystander, 64 * MIB, readers, patience=3)


@pytest.mark.full
@pytest.mark.parametrize("readers", READERS)
async def test_readers_that_stop_in_a_gigabyte_are_cut(
    patient_server: Server, bystander: Server, readers: Readers
) -> None:
    """In 1 GiB too, after the usual 30 seconds."""
    await stalled_readers(patient_server, bystander, 1024 * MIB, readers, patience=30)
