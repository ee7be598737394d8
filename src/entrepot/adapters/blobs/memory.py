"""Blobs in memory, for tests and trials: the filesystem store's twin, which keeps every promise but durability."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.registry.layout import UploadId
from entrepot.registry.ports import Keep, StoredBlob, UploadProgress

_PIECE = 64 << 10


@dataclass(slots=True)
class _Upload:
    data: bytearray = field(default_factory=bytearray)
    busy: bool = False
    cancelled: bool = False
    #: The digest and length that were verified.
    seal: tuple[Digest, int] | None = None
    written_at: int = field(default_factory=lambda: time.time_ns() // 1000)


class MemoryBlobStore:
    """The blob store of one process; its end is their end."""

    def __init__(self) -> None:
        """Begin with no blob."""
        self._blobs: dict[str, bytes] = {}
        self._placed_at: dict[str, int] = {}
        self._uploads: dict[str, _Upload] = {}

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""

    async def stat(self, key: str) -> StoredBlob:
        """Describe a blob."""
        return StoredBlob(key=key, size=len(self._blob(key)), placed_at=self._placed_at.get(key))

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a blob in pieces."""
        blob = self._blob(key)
        end = max(start, len(blob)) if length is None else start + length
        for offset in range(start, min(end, len(blob)), _PIECE):
            yield blob[offset : min(offset + _PIECE, end)]
        if end > max(start, len(blob)):
            raise Unavailable(message="the stored blob is shorter than it should be")

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        self._blobs.pop(str(Digest.parse(key)), None)

    async def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """Walk the blobs that are there at the start and still there when their turn comes."""
        for key in sorted(self._blobs):
            if key > after and key in self._blobs:
                yield await self.stat(key)

    @property
    def has_state(self) -> bool:
        """Say no: this process has every upload."""
        return False

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """Open an empty upload."""
        if UploadId.parse(upload_id) in self._uploads:
            raise BlobUploadInvalid("an upload of this id is open already")
        self._uploads[upload_id] = _Upload()
        return UploadProgress(offset=0, hashed=None)

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """Say how many bytes of an upload are stored."""
        del known
        return len(self._upload(upload_id).data)

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
        """Add bytes at the end of an upload."""
        del known, keep, owner  # the bytes are at hand, so their digest always is
        with self._busy(upload_id) as upload:
            if offset != len(upload.data):
                raise UploadRangeInvalid(len(upload.data))
            async for chunk in chunks:
                if upload.cancelled:
                    raise BlobUploadUnknown
                upload.data += chunk
                upload.written_at = time.time_ns() // 1000
            return UploadProgress(offset=len(upload.data), hashed=Digest.of(upload.data, algorithm))

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """Verify an upload."""
        del known
        with self._busy(upload_id) as upload:
            actual, size = Digest.of(upload.data, expected.algorithm), len(upload.data)
            if actual != expected:
                raise DigestInvalid(f"the {size} bytes received have the digest {actual}, not {expected}")
            upload.seal = (expected, size)
            return UploadProgress(offset=size, hashed=expected)

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """Make a sealed upload a blob."""
        del known
        with self._busy(upload_id) as upload:
            if upload.seal != (digest, len(upload.data)):
                raise BlobUploadInvalid(f"the upload was not verified to be {digest}")
            self._blobs[str(digest)] = bytes(self._uploads.pop(upload_id).data)
            self._placed_at[str(digest)] = time.time_ns() // 1000
        return await self.stat(str(digest))

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """Drop an upload."""
        del known
        upload = self._uploads.pop(UploadId.parse(upload_id), None)
        if upload is not None:
            upload.cancelled = True

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """Drop an upload that nobody uses."""
        upload = self._uploads.get(UploadId.parse(upload_id))
        if upload is not None and (upload.busy or (upload.data and upload.written_at >= before)):
            return False
        await self.cancel_upload(upload_id)
        return True

    async def uploads(self) -> list[tuple[str, int]]:
        """List every upload."""
        return [(upload_id, upload.written_at) for upload_id, upload in self._uploads.items()]

    def _blob(self, key: str) -> bytes:
        try:
            return self._blobs[str(Digest.parse(key))]
        except KeyError:
            raise BlobUnknown from None

    def _upload(self, upload_id: str) -> _Upload:
        try:
            return self._uploads[UploadId.parse(upload_id)]
        except KeyError:
            raise BlobUploadUnknown from None

    @contextmanager
    def _busy(self, upload_id: str) -> Iterator[_Upload]:
        """Keep everybody else off an upload, as the file's lock does."""
        upload = self._upload(upload_id)
        if upload.busy:
            raise UploadRangeInvalid(len(upload.data), "another request is writing to this upload; ask for its status")
        upload.busy = True
        try:
            yield upload
        finally:
            upload.busy = False
