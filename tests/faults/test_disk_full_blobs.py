"""R3 for the blob store: a disk, an inode table or nothing at all is left, and nobody is hurt for good.

Each test mounts a small tmpfs of its own, which takes root's rights.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadUnknown, InsufficientStorage
from entrepot.registry.ports import StoredBlob
from tests.contracts.blob_uploads import append, pieces_of, push, read, walk
from tests.support.disks import open_files

MIB = 1 << 20
Mount = Callable[..., FilesystemBlobStore]


@pytest.fixture
def small_disk(tmp_path: Path, tool: Callable[[str], Path]) -> Iterator[Mount]:
    """Give a function that mounts a small disk and opens a store on it."""
    opened = []

    def mount(options: str = "size=16m") -> FilesystemBlobStore:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = [str(tool("mount")), "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"these tests mount a small tmpfs, so run them as root, outside of a sandbox: {done.stderr}")
        opened.append((FilesystemBlobStore(folder), folder))
        return opened[-1][0]

    yield mount
    for store, folder in opened:
        store.close()
        subprocess.run([str(tool("umount")), str(folder)], check=True)


def free(store: FilesystemBlobStore) -> int:
    """Ask how many bytes are free where the store is."""
    status = os.statvfs(store.path("sha256:" + "0" * 64).parents[7])
    return status.f_bavail * status.f_frsize


def fill(store: FilesystemBlobStore, left: int = 0) -> None:
    """Take all space but `left` bytes."""
    ballast = store.path("sha256:" + "0" * 64).parents[7] / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(free(store) - left))


async def push_until_full(store: FilesystemBlobStore) -> list[StoredBlob]:
    """Push small blobs until one is refused for want of room."""
    pushed: list[StoredBlob] = []
    for n in range(30):
        try:
            pushed.append(await push(store, b"%d" % n, upload_id=f"u{n}"))
        except InsufficientStorage:
            return pushed
    pytest.fail("the disk never got full")


async def test_a_blob_too_large_for_the_disk(small_disk: Mount) -> None:
    """24 MiB do not fit in 16: refused as such, the space free again within a second, and a small push works."""
    store = small_disk()
    before = free(store)
    await store.start_upload("large")
    with pytest.raises(InsufficientStorage):
        await append(store, "large", bytes(24 * MIB))
    refused_at = time.monotonic()
    while free(store) < before:
        assert time.monotonic() - refused_at < 1, "the space of a refused upload is not freed"
        await asyncio.sleep(0.01)
    with pytest.raises(BlobUploadUnknown):
        await store.upload_size("large")
    assert open_files(store.path("sha256:" + "0" * 64).parents[7]) == []
    blob = await push(store, b"ten bytes!")
    assert await read(store, blob.key) == b"ten bytes!"


async def test_a_session_that_fills_the_disk_bit_by_bit(small_disk: Mount) -> None:
    """The chunk that does not fit ends the whole session, not only itself."""
    store = small_disk()
    before = free(store)
    await store.start_upload("creeping")
    for n in range(15):
        await append(store, "creeping", bytes(MIB), offset=n * MIB)
    with pytest.raises(InsufficientStorage):
        await append(store, "creeping", bytes(2 * MIB), offset=15 * MIB)
    assert await store.uploads() == []
    assert free(store) == before


async def test_uploads_that_fill_the_disk_together(small_disk: Mount) -> None:
    """Of many pushes at once those that fit succeed whole, the others are refused, and nothing else stays."""
    store = small_disk()
    blobs = {str(Digest.of(data)): data for data in (random.Random(n).randbytes(3 * MIB) for n in range(12))}
    pushes = (push(store, data, upload_id=f"u{n}") for n, data in enumerate(blobs.values()))
    results = await asyncio.gather(*pushes, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert refused
    assert all(isinstance(error, InsufficientStorage) for error in refused)
    assert await store.uploads() == []
    found = await walk(store)
    assert len(found) == len(results) - len(refused)
    for blob in found:
        assert await read(store, blob.key) == blobs[blob.key]
    assert free(store) > (16 - 3 * len(found) - 1) * MIB


async def test_a_full_disk_still_serves_and_deletes(small_disk: Mount) -> None:
    """With no byte free every blob can be read, and deleting one makes room for the next."""
    store = small_disk()
    data = random.Random(1).randbytes(4 * MIB)
    blob = await push(store, data)
    fill(store)
    with pytest.raises(InsufficientStorage):
        await push(store, b"no room for this", upload_id="refused")
    assert await read(store, blob.key) == data
    await store.delete(blob.key)
    assert await push(store, data[::-1], upload_id="fits")


@pytest.mark.parametrize("inodes", range(9, 20))
async def test_a_disk_without_inodes(small_disk: Mount, inodes: int) -> None:
    """When no file or no folder can be made any more, the push is refused whole, and works once there is room."""
    store = small_disk(f"size=16m,nr_inodes={inodes + 3}")
    ballast = store.path("sha256:" + "0" * 64).parents[7] / "ballast"
    ballast.mkdir()
    pushed = await push_until_full(store)
    assert await store.uploads() == []
    assert {blob.key for blob in await walk(store)} == {blob.key for blob in pushed}
    ballast.rmdir()
    if pushed:
        await store.delete(pushed[0].key)
        await push(store, b"0", upload_id="again")


async def test_a_refused_body_is_not_read_to_its_end(small_disk: Mount) -> None:
    """After the disk is full no more than a few batches are taken from the client."""
    store = small_disk()
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        async for piece in pieces_of(bytes(200 * MIB)):
            taken += len(piece)
            yield piece

    await store.start_upload("endless")
    with pytest.raises(InsufficientStorage):
        await store.append("endless", endless(), offset=0, algorithm="sha256")
    assert taken <= 20 * MIB
