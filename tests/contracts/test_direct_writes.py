"""What a large upload has beyond its beginning passes the page cache, and nobody can tell from what is stored."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.adapters.blobs import direct
from entrepot.adapters.blobs.direct import BLOCK, cut_at_block
from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.hashers import LiveHash
from entrepot.adapters.blobs.threads import Threads
from entrepot.oci.digest import Digest
from entrepot.oci.errors import InsufficientStorage
from tests.contracts.blob_uploads import append, pieces_of, read

MIB = 1 << 20
T = TypeVar("T")


class WatchedFs(Fs):
    """A disk that notes which bytes came directly, and refuses what no device could write so."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        super().__init__()
        self.direct: set[int] = set()
        self.written: dict[bool, int] = {True: 0, False: 0}
        self.asked = 0

    def start_direct(self, file: int) -> bool:
        """Note that the next writes of a file are direct."""
        self.asked += 1
        self.direct.add(file)
        return True

    def end_direct(self, file: int) -> None:
        """Note that they are no longer."""
        self.direct.discard(file)

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write, as strictly as a device with blocks of four kilobytes."""
        direct = file in self.direct
        if direct and any(number % BLOCK for number in (offset, *map(len, parts))):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.written[direct] += sum(map(len, parts))
        super().write(file, parts, offset)

    def close(self, file: int) -> None:
        """Forget the file."""
        self.direct.discard(file)
        super().close(file)


class UnableFs(WatchedFs):
    """A file system without direct writes."""

    def start_direct(self, file: int) -> bool:
        """Say no."""
        self.asked += 1
        return False


class LargeBlocksFs(WatchedFs):
    """A device whose blocks are larger than usual: it says so at the first write."""

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Refuse direct writes."""
        if file in self.direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        super().write(file, parts, offset)


class ShortFs(WatchedFs):
    """A disk that takes half of the first direct write, and no direct one from the middle of a block."""

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write a part, and refuse the rest."""
        if file in self.direct:
            whole = b"".join(parts)
            super().write(file, [whole[: BLOCK * (len(whole) // BLOCK // 2)]], offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        super().write(file, parts, offset)


class FullFs(WatchedFs):
    """A disk that is full when the first direct write comes."""

    direct_writes = 0

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Say so."""
        if file in self.direct:
            self.direct_writes += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(file, parts, offset)


class PatientFs(WatchedFs):
    """A disk whose direct writes end when the hash of the same bytes has."""

    def __init__(self) -> None:
        """Begin with nothing hashed."""
        super().__init__()
        self.hashed = threading.Semaphore(0)

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write, and wait."""
        super().write(file, parts, offset)
        if file in self.direct:
            assert self.hashed.acquire(timeout=30)


class SlowFs(WatchedFs):
    """A disk that takes its time for the second direct write."""

    def __init__(self) -> None:
        """Begin at rest."""
        super().__init__()
        self.direct_writes = self.at_work = 0
        self.closed_at_work = False

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write, sooner or later."""
        self.at_work += 1
        self.direct_writes += file in self.direct
        if self.direct_writes == 2:
            time.sleep(0.3)
        super().write(file, parts, offset)
        self.at_work -= 1

    def close(self, file: int) -> None:
        """Note when that takes the file from under a write."""
        self.closed_at_work |= self.at_work > 0
        super().close(file)


@pytest.fixture(autouse=True)
def _no_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let direct writes begin at the first byte: the tests need less data then."""
    monkeypatch.setattr(direct, "CACHED", 0)


async def stored(folder: Path, fs: WatchedFs, *bodies: bytes, piece: int = 100_001) -> bytes:
    """Push a blob whose bytes come as these PATCH requests, and read it back."""
    store, digest = FilesystemBlobStore(folder, fs=fs), Digest.of(b"".join(bodies))
    try:
        await store.start_upload("one")
        fs.written = {True: 0, False: 0}  # a store that is opened writes a note of its own
        known, offset = None, 0
        for body in bodies:
            pieces = pieces_of(body, piece)
            known = await store.append("one", pieces, offset=offset, algorithm="sha256", known=known)
            offset += len(body)
        await store.seal("one", digest, known=known)
        return await read(store, (await store.publish("one", digest)).key)
    finally:
        store.close()


async def test_all_of_a_large_upload_but_its_end_passes_the_page_cache(tmp_path: Path) -> None:
    """However the bytes come, batches end at whole blocks; what is left after the last goes the usual way."""
    disk, data = WatchedFs(), random.Random(1).randbytes(5 * MIB + 77)
    assert await stored(tmp_path, disk, data) == data
    assert disk.written[True] + disk.written[False] == len(data)
    assert disk.written[True] >= 4 * MIB


async def test_a_patch_that_begins_within_a_block(tmp_path: Path) -> None:
    """Its first batch ends at a whole block, and those behind it pass the page cache."""
    disk, source = WatchedFs(), random.Random(2)
    bodies = [source.randbytes(length) for length in (1000, 4 * MIB, 3, 4 * MIB)]
    assert await stored(tmp_path, disk, *bodies) == b"".join(bodies)
    assert disk.written[True] >= 4 * MIB


async def test_the_beginning_stays_in_memory_for_whoever_pulls_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So much goes through the page cache that most layers are there whole."""
    disk, data = WatchedFs(), bytes(9 * MIB)
    monkeypatch.setattr(direct, "CACHED", 5 * MIB)
    assert await stored(tmp_path, disk, data) == data
    assert 3 * MIB <= disk.written[True] <= 4 * MIB


async def test_small_uploads_go_the_usual_way(tmp_path: Path) -> None:
    """A blob of less than a batch is left to the kernel, which gathers it with others."""
    disk = WatchedFs()
    assert await stored(tmp_path, disk, bytes(300_000)) == bytes(300_000)
    assert disk.asked == 0


@pytest.mark.parametrize("kind", [UnableFs, LargeBlocksFs, ShortFs])
async def test_where_it_is_not_possible_the_bytes_go_the_usual_way(tmp_path: Path, kind: type[WatchedFs]) -> None:
    """A file system that cannot, a device with larger blocks, a write cut short: asked once, and nothing is lost."""
    disk, data = kind(), random.Random(3).randbytes(6 * MIB + 5)
    assert await stored(tmp_path, disk, data) == data
    assert disk.asked == 1
    assert disk.written[False] == len(data)


async def test_a_full_disk_ends_a_direct_write_like_any_other(tmp_path: Path) -> None:
    """The client is told that there is no room, and the upload's own is free again."""
    disk = FullFs()
    store = FilesystemBlobStore(tmp_path, fs=disk)
    await store.start_upload("full")
    with pytest.raises(InsufficientStorage):
        await append(store, "full", bytes(3 * MIB))
    assert disk.direct_writes == 1
    assert not list(tmp_path.rglob("full"))
    store.close()


async def test_bytes_are_hashed_while_the_disk_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A direct write keeps the disk busy and a hash a core: neither waits for the other."""
    disk, update = PatientFs(), LiveHash.update

    def watched(live: LiveHash, parts: Sequence[bytes | memoryview]) -> None:
        update(live, parts)
        disk.hashed.release()

    monkeypatch.setattr(LiveHash, "update", watched)
    data = random.Random(4).randbytes(4 * MIB)
    assert await stored(tmp_path, disk, data) == data
    assert disk.written[True] >= 3 * MIB


async def test_without_a_thread_for_the_hash_nothing_writes_to_a_file_that_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may refuse one more thread: the upload ends then with whole batches, and goes on from there."""
    disk, data = SlowFs(), random.Random(5).randbytes(6 * MIB)
    store, receive, asked = FilesystemBlobStore(tmp_path, fs=disk), Threads.receive, count(1)

    def refused(threads: Threads, function: Callable[..., T], *arguments: Any) -> Future[T]:
        if next(asked) == 2:
            raise RuntimeError("can't start new thread")
        return receive(threads, function, *arguments)

    monkeypatch.setattr(Threads, "receive", refused)
    await store.start_upload("push")
    with pytest.raises(RuntimeError, match="new thread"):
        await append(store, "push", data)
    assert not disk.closed_at_work
    got = await store.upload_size("push")
    await append(store, "push", data[got:], offset=got)
    assert (await store.seal("push", Digest.of(data))).offset == len(data)
    store.close()


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * MIB), min_size=1, max_size=4), piece=st.integers(10_000, MIB))
async def test_what_is_stored_is_what_came(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], piece: int
) -> None:
    """Whatever the lengths of requests and of their pieces."""
    source = random.Random(repr((sizes, piece)))
    bodies = [source.randbytes(size) for size in sizes]
    assert await stored(tmp_path_factory.mktemp("any"), WatchedFs(), *bodies, piece=piece) == b"".join(bodies)


@given(lengths=st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=5), start=st.integers(0, 3 * BLOCK))
def test_a_cut_loses_nothing(lengths: list[int], start: int) -> None:
    """What stays and what is taken are the same bytes in order; what stays ends at a block if the last part reaches."""
    parts: list[bytes | memoryview] = [bytes([n]) * length for n, length in enumerate(lengths)]
    end, whole = start + sum(lengths), b"".join(parts)
    taken = cut_at_block(parts, end)
    assert b"".join([*parts, *taken]) == whole
    assert (end - sum(map(len, taken))) % BLOCK == 0 or lengths[-1] <= end % BLOCK
