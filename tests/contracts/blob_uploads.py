"""Small steps of uploads, for the tests of the blob port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadInvalid, BlobUploadUnknown, UploadRangeInvalid
from entrepot.registry.layout import UploadId
from entrepot.registry.ports import BlobStore, Keep, StoredBlob, UploadProgress


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


class Bookkeeping:
    """A store whose uploads have a state, with the rows that `registry/uploads.py` keeps of it.

    So the suite can ask it as it asks a store on a disk: whoever is asked knows how an upload stands, and of two who
    append at once the first to end counts. Workers share their rows.
    """

    def __init__(self, store: BlobStore, rows: dict[str, UploadProgress]) -> None:
        """Keep rows in this dictionary."""
        self.store, self.rows = store, rows
        self.has_state = store.has_state
        self.stat, self.stream, self.delete, self.keys = store.stat, store.stream, store.delete, store.keys
        self.cancel_idle_upload = store.cancel_idle_upload

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """Open an upload."""
        if upload_id in self.rows:
            raise BlobUploadInvalid("an upload of this id is open already")
        self.rows[upload_id] = await self.store.start_upload(upload_id)
        return self.rows[upload_id]

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """Say how long it is."""
        return await self.store.upload_size(upload_id, known=self._known(upload_id, known))

    async def append(
        self,
        upload_id: str,
        chunks: AsyncIterator[bytes],
        *,
        offset: int,
        algorithm: str,
        known: UploadProgress | None = None,
        keep: Keep | None = None,
        owner: str = "",
    ) -> UploadProgress:
        """Append, on top of what the row says."""
        row = self._row(upload_id)

        async def noted(progress: UploadProgress) -> None:
            nonlocal row
            if upload_id not in self.rows:
                await self.store.cancel_upload(upload_id, known=progress)
                raise BlobUploadUnknown
            if self.rows[upload_id] is not row:
                raise UploadRangeInvalid(self.rows[upload_id].offset)
            self.rows[upload_id] = row = progress

        progress = await self.store.append(
            upload_id,
            chunks,
            offset=offset,
            algorithm=algorithm,
            known=self._known(upload_id, known),
            keep=noted,
            owner=owner,
        )
        await noted(progress)
        return progress

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """Verify what the row speaks of."""
        sealed = await self.store.seal(upload_id, expected, known=self._known(upload_id, known))
        self.rows[upload_id] = sealed
        return sealed

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """Publish what the row speaks of."""
        published = await self.store.publish(upload_id, digest, known=self._known(upload_id, known))
        del self.rows[upload_id]
        return published

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """Drop the row, and what it speaks of."""
        UploadId.parse(upload_id)
        await self.store.cancel_upload(upload_id, known=self.rows.pop(upload_id, None))

    async def uploads(self) -> list[tuple[str, int]]:
        """List the rows."""
        return [(upload_id, 0) for upload_id in self.rows]

    def _row(self, upload_id: str) -> UploadProgress:
        if UploadId.parse(upload_id) not in self.rows:
            raise BlobUploadUnknown
        return self.rows[upload_id]

    def _known(self, upload_id: str, known: UploadProgress | None) -> UploadProgress:
        row = self._row(upload_id)
        known = known or UploadProgress(offset=0, hashed=None)
        return UploadProgress(offset=known.offset, hashed=known.hashed, state=row.state)
