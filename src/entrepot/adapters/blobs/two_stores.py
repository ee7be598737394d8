"""Two stores as one, while blobs are moved from one to the other.

What comes goes to the first, what is asked for may be in either. Every node reads both before the
first blob is moved, so nobody misses one, whichever way it goes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, DigestInvalid
from entrepot.registry.ports import BlobStore, Keep, StoredBlob, UploadProgress


class TwoStores:
    """The blob port over two stores."""

    def __init__(self, store: BlobStore, other: BlobStore) -> None:
        """Write to the first, and read from both."""
        self.store = store
        self.other = other

    @property
    def has_state(self) -> bool:
        """See `BlobStore`."""
        return self.store.has_state

    async def stat(self, key: str) -> StoredBlob:
        """See `BlobStore`."""
        try:
            return await self.store.stat(key)
        except (BlobUnknown, DigestInvalid):
            return await self.other.stat(key)

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """See `BlobStore`."""
        begun = False
        try:
            async with aclosing(self.store.stream(key, start, length)) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
        except (BlobUnknown, DigestInvalid):
            if begun:
                raise
            async with aclosing(self.other.stream(key, start, length)) as pieces:
                async for piece in pieces:
                    yield piece

    async def delete(self, key: str) -> None:
        """See `BlobStore`; each store knows the keys of its own."""
        known = 0
        for store in (self.store, self.other):
            try:
                await store.delete(key)
            except DigestInvalid:
                continue
            known += 1
        if not known:
            raise DigestInvalid

    def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """See `BlobStore`; what is left in the other store is for the move to find."""
        return self.store.keys(after)

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """See `BlobStore`."""
        return await self.store.start_upload(upload_id)

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """See `BlobStore`."""
        return await self.store.upload_size(upload_id, known=known)

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
        """See `BlobStore`."""
        return await self.store.append(
            upload_id, chunks, offset=offset, algorithm=algorithm, known=known, keep=keep, owner=owner
        )

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """See `BlobStore`."""
        return await self.store.seal(upload_id, expected, known=known)

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """See `BlobStore`."""
        return await self.store.publish(upload_id, digest, known=known)

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """See `BlobStore`."""
        await self.store.cancel_upload(upload_id, known=known)

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """See `BlobStore`."""
        return await self.store.cancel_idle_upload(upload_id, before=before)

    async def uploads(self) -> list[tuple[str, int]]:
        """See `BlobStore`."""
        return await self.store.uploads()
