"""R15, short form: the size of a blob costs disk and time, never memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.oci.digest import Digest
from tests.contracts.blob_uploads import push, read

MIB = 1 << 20
SIZE = 1_000
PIECE = bytes(range(256)) * (MIB // 256)
ALLOWED = 64 * MIB


def _memory(field: str) -> int:
    """Read a figure of this process's memory; VmHWM is the most since `_reset_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def _body() -> AsyncIterator[bytes]:
    for _ in range(SIZE):
        yield bytes(PIECE)


async def test_a_client_that_sends_two_bytes_at_a_time_costs_no_more_memory(tmp_path: Path) -> None:
    """Each piece has an overhead of some fifty bytes: half a million of them must not wait for one batch."""

    async def drops() -> AsyncIterator[bytes]:
        for number in range(500_000):
            yield number.to_bytes(4)[2:]

    store = FilesystemBlobStore(tmp_path)
    await store.start_upload("drops")
    tracemalloc.start()
    try:
        progress = await store.append("drops", drops(), offset=0, algorithm="sha256")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    store.close()
    assert progress.offset == 1_000_000
    assert peak < 4 * MIB


async def test_a_gigabyte_takes_no_more_than_64_mebibytes(tmp_path: Path) -> None:
    """Received, read back once, published, and streamed: 1 GB never makes the process grow by more than 64 MiB."""
    store, other = FilesystemBlobStore(tmp_path), FilesystemBlobStore(tmp_path)
    await push(store, b"threads and modules are there", upload_id="warm")
    await read(store, str(Digest.of(b"threads and modules are there")))
    before = _memory("VmRSS")
    _reset_peak()
    await store.start_upload("giga")
    progress = await store.append("giga", _body(), offset=0, algorithm="sha256")
    assert progress.offset == SIZE * MIB
    assert progress.hashed is not None
    assert (await other.seal("giga", progress.hashed)).offset == SIZE * MIB  # knows nothing, so it reads all of it
    blob = await other.publish("giga", progress.hashed)
    hasher, size = hashlib.sha256(), 0
    async for piece in store.stream(blob.key):
        hasher.update(piece)
        size += len(piece)
    assert (size, hasher.hexdigest()) == (SIZE * MIB, progress.hashed.encoded)
    assert _memory("VmHWM") - before <= ALLOWED
    store.close()
    other.close()
