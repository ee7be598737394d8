"""Small steps of uploads, for the tests of the blob port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from entrepot.oci.digest import Digest
from entrepot.registry.ports import BlobStore, StoredBlob, UploadProgress


async def pieces_of(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """Give bytes in pieces, as a server receives them."""
    for offset in range(0, len(data), size):
        yield data[offset : offset + size]


async def each(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Give exactly these chunks."""
    for chunk in chunks:
        yield chunk


class Gate:
    """A body that sends `first`, waits until it is opened, and sends `second`."""

    def __init__(self, first: bytes, second: bytes = b"") -> None:
        """Begin closed."""
        self.first = first
        self.second = second
        self.waiting = asyncio.Event()
        self.opened = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body."""
        yield self.first
        self.waiting.set()
        await self.opened.wait()
        yield self.second


async def append(
    store: BlobStore,
    upload_id: str,
    data: bytes,
    *,
    offset: int = 0,
    algorithm: str = "sha256",
    known: UploadProgress | None = None,
) -> UploadProgress:
    """Append bytes."""
    return await store.append(upload_id, pieces_of(data), offset=offset, algorithm=algorithm, known=known)


async def push(store: BlobStore, data: bytes, *, upload_id: str = "push", algorithm: str = "sha256") -> StoredBlob:
    """Store a blob by all five steps."""
    digest = Digest.of(data, algorithm)
    await store.start_upload(upload_id)
    await append(store, upload_id, data, algorithm=algorithm)
    await store.seal(upload_id, digest)
    return await store.publish(upload_id, digest)


async def read(store: BlobStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    """Read a blob or a part of it."""
    return b"".join([piece async for piece in store.stream(key, start, length)])


async def walk(store: BlobStore) -> list[StoredBlob]:
    """List all blobs."""
    found = store.keys()
    return [blob async for blob in found]
