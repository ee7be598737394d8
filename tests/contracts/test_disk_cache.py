"""The disk cache: bounded, shared by the workers of a node, verified, and never in the way of a pull."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from entrepot.adapters.blobs.cache.disk_cache import DiskCache
from entrepot.adapters.blobs.cache.space import Space
from entrepot.metadata.database import Database
from entrepot.metadata.opening import open_embedded
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.model import BlobRecord
from entrepot.registry.quarantine import Quarantine
from tests.support.presigning import PresigningStore

MIB = 1 << 20
LIMIT = 64 * MIB


class SlowStore(PresigningStore):
    """Gives its bytes piece by piece, when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()
        self.fail_at: int | None = None

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a blob in pieces of 64 KiB."""
        sent = start
        async for piece in super().stream(key, start, length):
            await self.go.wait()
            if self.fail_at is not None and sent >= self.fail_at:
                raise Unavailable(message="the store is away")
            yield piece
            sent += len(piece)
            await asyncio.sleep(0)


class Kit:
    """A store, and workers of one node with a cache in front of it."""

    def __init__(self, folder: Path, metadata: Database) -> None:
        self.folder = folder
        self.store = SlowStore()
        self.metadata = metadata
        self.counts: Counter[str] = Counter()
        self.workers: list[DiskCache] = []

    def worker(self, limit: int = LIMIT) -> DiskCache:
        """Start a worker."""
        quarantine = Quarantine(self.metadata, self.store, lambda: False)
        cache = DiskCache(
            self.folder, limit, store=self.store, quarantine=quarantine, count=lambda name: self.counts.update([name])
        )
        self.workers.append(cache)
        return cache

    async def blob(self, size: int, seed: int = 0) -> tuple[BlobRecord, bytes]:
        """Put a blob into the store."""
        content = random.Random(seed or size).randbytes(size)
        digest = Digest.of(content, "sha256")
        self.store._blobs[str(digest)] = content
        return BlobRecord(digest, size, str(digest), id=1), content


async def read(cache: DiskCache, blob: BlobRecord, start: int = 0, length: int | None = None) -> bytes:
    """Read as the web layer does: the file if there is one, else the stream."""
    length = blob.size - start if length is None else length
    path = cache.path(blob)
    if path is not None:
        with Path(path).open("rb") as file:
            file.seek(start)
            return file.read(length)
    async with aclosing(cache.stream(blob, start, length)) as pieces:
        return b"".join([piece async for piece in pieces])


async def until(check: Callable[[], bool]) -> None:
    """Wait for something."""
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    """Give the parts; workers stop at the end."""
    stores = await open_embedded(tmp_path / "entrepot")
    made = Kit(tmp_path / "cache", stores.metadata)
    yield made
    for worker in made.workers:
        await worker.close()
    await stores.close()


async def test_the_second_who_asks_gets_a_file(kit: Kit) -> None:
    """A blob streams past once and is kept on the way; then it is a local file, for ranges and other workers too."""
    first, second = kit.worker(), kit.worker()
    blob, content = await kit.blob(5 * MIB + 17)
    assert await read(first, blob) == content
    await until(lambda: first.path(blob) is not None)
    for cache in (first, second):
        assert await read(cache, blob) == content
        assert await read(cache, blob, 100, 50) == content[100:150]
    assert kit.store.asked["stream"] == 1
    assert kit.counts["fetch"] == 1


async def test_a_hundred_who_ask_at_once_are_one_request_to_the_store(kit: Kit) -> None:
    """All workers of a node wait for the one that fetches, and get the bytes while they come."""
    workers = [kit.worker() for _ in range(4)]
    blob, content = await kit.blob(3 * MIB)
    got = await asyncio.gather(*(read(workers[number % 4], blob) for number in range(100)))
    assert all(each == content for each in got)
    assert kit.store.asked["stream"] == 1
    assert kit.counts["fetch"] == 1
    assert kit.counts["follow"] + kit.counts["hit"] == 99


async def test_bytes_flow_while_the_blob_is_fetched(kit: Kit) -> None:
    """Nobody waits for the whole: what has come is sent, all but the end, which waits until the digest is known."""
    cache = kit.worker()
    blob, content = await kit.blob(4 * MIB)
    pieces = cache.stream(blob, 0, blob.size)
    first = await anext(pieces)
    assert content.startswith(first)
    rest = first + b"".join([piece async for piece in pieces])
    assert rest == content


async def test_who_leaves_does_not_stop_the_others(kit: Kit) -> None:
    """The client that came first may go: what it began is fetched to its end."""
    cache = kit.worker()
    blob, content = await kit.blob(4 * MIB)
    pieces = cache.stream(blob, 0, blob.size)
    await anext(pieces)
    await pieces.aclose()
    assert await read(cache, blob) == content
    assert kit.store.asked["stream"] == 1


async def test_it_stays_below_its_size(kit: Kit) -> None:
    """What was not used for longest goes first, and there are never more bytes than allowed."""
    cache = kit.worker()
    blobs = [await kit.blob(8 * MIB, seed) for seed in range(1, 13)]
    for number, (blob, content) in enumerate(blobs):
        assert await read(cache, blob) == content
        await until(lambda: not cache._fetching)
        path = cache.path(blob)
        if path is not None:
            os.utime(path, (1000 + number, 1000 + number))  # all long ago, in their order
        files = [file for file in kit.folder.glob("*/*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) <= LIMIT
    kept = [number for number, (blob, _) in enumerate(blobs) if Path(cache._space.whole(blob.digest)).exists()]
    assert kept[-1] == 11
    assert 0 not in kept
    assert kept == list(range(kept[0], 12)), "the oldest went first"


async def test_what_is_used_stays(kit: Kit) -> None:
    """A file that was just given out is not removed under the hands of whoever opens it; the newcomer streams past."""
    cache = kit.worker()
    blobs = [await kit.blob(15 * MIB, seed) for seed in range(1, 7)]
    for blob, content in blobs:
        assert await read(cache, blob) == content
        await asyncio.sleep(0.05)
    await until(lambda: not cache._fetching)
    kept = [blob for blob, _ in blobs if cache.path(blob)]
    assert len(kept) == 4
    assert kit.counts["past"] == 2


async def test_large_blobs_and_small_ranges_stream_past(kit: Kit) -> None:
    """What would push out too much, and a few bytes of something large, are not kept."""
    cache = kit.worker()
    large, content = await kit.blob(LIMIT // 4 + 1)
    assert await read(cache, large) == content
    blob, content = await kit.blob(MIB)
    assert await read(cache, blob, 0, 1000) == content[:1000]
    assert await read(cache, blob, 1000) == content[1000:]
    assert not list(kit.folder.glob("*/*"))
    assert kit.counts == {"past": 3}


async def test_it_survives_a_restart(kit: Kit) -> None:
    """Another process on the same folder has the blobs; what one that was killed left half is not taken for whole."""
    blob, content = await kit.blob(2 * MIB)
    first = kit.worker()
    assert await read(first, blob) == content
    await until(lambda: first.path(blob) is not None)
    await first.close()
    half, half_content = await kit.blob(3 * MIB)
    space = Space(kit.folder, LIMIT)
    part = Path(space.part(half.digest, half.size))
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"x" * MIB)
    again = kit.worker()
    kit.store.asked.clear()
    assert await read(again, blob) == content
    assert kit.store.asked["stream"] == 0
    assert await read(again, half) == half_content
    await until(lambda: again.path(half) is not None)


async def test_a_file_of_another_size_is_not_given_out(kit: Kit) -> None:
    """A file that was cut is dropped and fetched anew."""
    cache = kit.worker()
    blob, content = await kit.blob(MIB)
    await read(cache, blob)
    await until(lambda: cache.path(blob) is not None)
    os.truncate(cache._space.whole(blob.digest), 100)
    assert cache.path(blob) is None
    assert await read(cache, blob) == content


async def _collect(cache: DiskCache, blob: BlobRecord, got: list[bytes]) -> None:
    async for piece in cache.stream(blob, 0, blob.size):
        got.append(piece)  # noqa: PERF401 - what came before it breaks counts


async def test_wrong_bytes_are_never_kept_nor_completed(kit: Kit) -> None:
    """A blob that comes with another digest is not kept, its stream breaks before its end, and it is told of."""
    cache = kit.worker()
    blob, content = await kit.blob(2 * MIB)
    kit.store._blobs[blob.key] = content[:-1] + bytes([content[-1] ^ 1])
    got: list[bytes] = []
    with pytest.raises(BlobUnknown):
        await _collect(cache, blob, got)
    assert len(b"".join(got)) < blob.size
    assert cache.path(blob) is None
    assert cache._space.bytes_used() == 0


async def test_wrong_bytes_that_another_worker_fetches_are_not_completed(kit: Kit) -> None:
    """Who reads along while another worker fetches a damaged blob has its bytes: it breaks off, as that one does."""
    workers = (kit.worker(), kit.worker())
    blob, content = await kit.blob(2 * MIB)
    kit.store._blobs[blob.key] = bytes([content[0] ^ 1]) + content[1:]
    kit.store.go.clear()
    reading = []
    for worker, how in zip(workers, ("fetch", "follow"), strict=True):
        reading.append(asyncio.ensure_future(_collect(worker, blob, [])))
        await until(lambda how=how: kit.counts[how] == 1)  # type: ignore[misc]
    kit.store.go.set()
    assert [type(one) for one in await asyncio.gather(*reading, return_exceptions=True)] == [BlobUnknown, BlobUnknown]


async def test_a_store_that_fails_on_the_way(kit: Kit) -> None:
    """A fetch that breaks off leaves nothing behind; whoever waits asks the store itself, and hears what is wrong."""
    cache = kit.worker()
    blob, content = await kit.blob(2 * MIB)
    kit.store.fail_at = MIB
    with pytest.raises(Unavailable):
        await read(cache, blob)
    assert (list(kit.folder.glob("*/*")), cache._space.bytes_used()) == ([], 0)
    kit.store.fail_at = None
    assert await read(cache, blob) == content


@pytest.fixture
def small_disk(kit: Kit) -> Iterator[Path]:
    """Put the cache on a file system of four mebibytes; give a file that takes up room there."""
    kit.folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", kit.folder], check=True)
    try:
        yield kit.folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", kit.folder], check=True)


async def test_a_full_disk_turns_the_cache_off_and_not_the_pull(kit: Kit, small_disk: Path) -> None:
    """When the disk refuses, clients get their bytes past it; for a minute nothing is tried again."""
    cache = kit.worker()
    blob, content = await kit.blob(2 * MIB)
    small_disk.write_bytes(b"x" * 3 * MIB)
    assert await read(cache, blob) == content
    await cache.settled()
    assert await read(cache, blob) == content
    assert (kit.counts["fetch"], kit.counts["off"]) == (1, 1)
    assert (list(kit.folder.glob("*/*")), cache._space.bytes_used()) == ([], 0)
    small_disk.unlink()
    cache._off_until = 0.0
    assert await read(cache, blob) == content
    await cache.settled()
    assert cache.path(blob) is not None


_FETCH_AND_HANG = """
import fcntl, sys, time
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


async def test_a_worker_that_is_killed_while_it_fetches(kit: Kit) -> None:
    """Its clients' neighbours go on from where it ended, by the store itself; the next one fetches anew."""
    cache = kit.worker()
    blob, content = await kit.blob(2 * MIB, 7)
    part = Path(cache._space.part(blob.digest, blob.size))
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FETCH_AND_HANG, part, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"locked\n"
        with part.open("ab") as file:
            file.write(content[:MIB])
        pieces = cache.stream(blob, 0, blob.size)
        got = await anext(pieces)
        process.kill()
        await process.wait()
        got += b"".join([piece async for piece in pieces])
        assert got == content
        assert kit.counts["follow"] == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert await read(cache, blob) == content
    await until(lambda: cache.path(blob) is not None)
