"""R15: a large blob goes in and out in every way, and no process grows by more than 64 MiB."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import aiohttp
import pytest

from entrepot.metadata.engine.ballast import BALLAST_BYTES
from tests.support.server import Server
from tests.support.writers import client_of

MIB = 1 << 20
CHUNK = 5 * MIB
RANGES = 1000
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}, "storage": {"delete": {"enabled": True}}}


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with two workers, warmed up by a small push and pull over each of a few connections."""
    with Server(CONFIG) as running:
        asyncio.run(warm_up(running))
        yield running


async def warm_up(server: Server) -> None:
    """Let each worker load what it needs."""
    for number in range(8):
        async with client_of(server.url) as session:
            digest = await push_whole(session, Content(number, 2 * MIB))
            async with session.get(f"/v2/a/b/blobs/{digest}", headers={"Range": "bytes=1-"}) as answer:
                await answer.read()


class Content:
    """Bytes that nobody has to keep: the same mebibyte over and over, each with its number in front."""

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self._mebibyte = Random(seed).randbytes(MIB - 8)

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes from one offset to another, a mebibyte at a time; offsets are whole mebibytes."""
        for number in range(start // MIB, (self.size if end is None else end) // MIB):
            yield number.to_bytes(8, "big") + self._mebibyte

    async def stream(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Give them to an HTTP client."""
        for piece in self.pieces(start, end):
            yield piece

    def digest(self) -> str:
        """Give their digest."""
        hasher = hashlib.sha256()
        for piece in self.pieces():
            hasher.update(piece)
        return f"sha256:{hasher.hexdigest()}"

    def part(self, start: int, length: int) -> bytes:
        """Give some of them."""
        first = start - start % MIB
        last = min(self.size, start + length + MIB - 1)
        return b"".join(self.pieces(first, last - last % MIB))[start - first :][:length]


@contextmanager
def watched(server: Server, most: int = 64 * MIB) -> Iterator[None]:
    """Look at the memory of every process while something is done; none may grow by more than `most`."""
    processes = server.family()
    before = {process.pid: process.memory_info().rss for process in processes}
    peaks, done = dict(before), threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            for process in processes:
                peaks[process.pid] = max(peaks[process.pid], process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    growth = {pid: (peaks[pid] - before[pid]) // MIB for pid in before}
    print(f"growth by process, in MiB: {sorted(growth.values())}")
    assert max(growth.values()) <= most // MIB, growth


async def push_whole(session: aiohttp.ClientSession, content: Content) -> str:
    """Push by one PUT."""
    digest = content.digest()
    async with session.post("/v2/a/b/blobs/uploads/") as answer:
        location = answer.headers["Location"]
    headers = {"Content-Length": str(content.size)}
    async with session.put(location, params={"digest": digest}, data=content.stream(), headers=headers) as answer:
        assert answer.status == 201
    return digest


async def push_in_chunks(session: aiohttp.ClientSession, content: Content) -> str:
    """Push by many PATCHes, some on connections of their own, so that both workers get some."""
    async with session.post("/v2/a/b/blobs/uploads/") as answer:
        location = answer.headers["Location"]
    for start in range(0, content.size, CHUNK):
        end = min(start + CHUNK, content.size)
        span = {"Content-Range": f"{start}-{end - 1}", "Content-Length": str(end - start)}
        async with session.patch(location, data=content.stream(start, end), headers=span) as answer:
            assert answer.status == 202
            location = answer.headers["Location"]
    async with session.put(location, params={"digest": content.digest()}) as answer:
        assert answer.status == 201
    return content.digest()


async def read_whole(session: aiohttp.ClientSession, digest: str) -> float:
    """Read it all, and check it; returns the seconds to the first byte."""
    hasher, begun = hashlib.sha256(), time.monotonic()
    async with session.get(f"/v2/a/b/blobs/{digest}") as answer:
        hasher.update(await answer.content.readany())
        first = time.monotonic() - begun
        async for piece in answer.content.iter_chunked(MIB):
            hasher.update(piece)
    assert f"sha256:{hasher.hexdigest()}" == digest
    return first


async def read_ranges(session: aiohttp.ClientSession, digest: str, content: Content) -> list[float]:
    """Read random parts; returns the seconds to the first byte of each."""
    random, firsts = Random(4), []
    for _ in range(RANGES):
        start = random.randrange(content.size - 1)
        length = min(random.choice((1, 1000, 64 * 1024, 300_000)), content.size - start)
        begun, headers = time.monotonic(), {"Range": f"bytes={start}-{start + length - 1}"}
        async with session.get(f"/v2/a/b/blobs/{digest}", headers=headers) as answer:
            data = await answer.content.readany()
            firsts.append(time.monotonic() - begun)
            data += await answer.read()
        assert answer.status == 206
        assert data == content.part(start, length)
    return firsts


async def in_and_out(server: Server, size: int) -> None:
    """Push and read a blob in every way, watched."""
    content, again = Content(1, size), Content(2, size)
    async with client_of(server.url, patience=600) as session:
        with watched(server):
            digest = await push_whole(session, content)
        with watched(server):
            await push_in_chunks(session, again)
        put_aside = 2 * BALLAST_BYTES
        assert disk_usage(server.data) < 2 * size + put_aside + 32 * MIB, "something was stored twice"
        with watched(server):
            assert min([await read_whole(session, digest) for _ in range(2)]) < 0.05
        with watched(server):
            firsts = sorted(await read_ranges(session, digest, content))
            assert firsts[RANGES * 95 // 100] < 0.05


def disk_usage(folder: Path) -> int:
    """Say how many bytes the files below a folder take."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


async def test_256_mebibytes_cost_little_memory(server: Server) -> None:
    """256 MiB in by one PUT and by chunks, out whole and by 1,000 random ranges: at most 64 MiB more in any process."""
    await in_and_out(server, 256 * MIB)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_gibibyte_costs_little_memory(server: Server) -> None:
    """1 GiB costs no more."""
    await in_and_out(server, 1024 * MIB)
