"""A blob store whose actions are timed, under the names that registry:2's dashboards know.

registry:2 names its storage driver's methods: `Stat`, `Reader`, `Writer`, `Move`, `Delete`, `List`. Ours do other
things in detail, but the same to an operator: how long does the storage take.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from entrepot.oci.digest import Digest
from entrepot.registry.ports import BlobStore, Keep, StoredBlob, UploadProgress
from entrepot.telemetry.instruments import Metrics

NAME: Final = "registry_storage_action_seconds"


class MeasuredBlobStore:
    """Passes everything on to another store, and counts how long it took. Failures count too."""

    def __init__(self, store: BlobStore, metrics: Metrics, driver: str) -> None:
        self._store = store
        self._driver = driver
        self._seconds = metrics.histogram(
            NAME, "The number of seconds that the storage action takes", ("driver", "action")
        )

    async def stat(self, key: str) -> StoredBlob:
        """See `BlobStore`."""
        with self._timed("Stat"):
            return await self._store.stat(key)

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """See `BlobStore`; counted until the stream ends, the client's time included."""
        with self._timed("Reader"):
            pieces = self._store.stream(key, start, length)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()

    async def delete(self, key: str) -> None:
        """See `BlobStore`."""
        with self._timed("Delete"):
            await self._store.delete(key)

    def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """See `BlobStore`; not timed, since who walks decides how fast."""
        return self._store.keys(after)

    @property
    def has_state(self) -> bool:
        """See `BlobStore`."""
        return self._store.has_state

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """See `BlobStore`."""
        with self._timed("PutContent"):
            return await self._store.start_upload(upload_id)

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """See `BlobStore`."""
        with self._timed("Stat"):
            return await self._store.upload_size(upload_id, known=known)

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
        """See `BlobStore`; the client's time included."""
        with self._timed("Writer"):
            return await self._store.append(
                upload_id, chunks, offset=offset, algorithm=algorithm, known=known, keep=keep, owner=owner
            )

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """See `BlobStore`."""
        with self._timed("Commit"):
            return await self._store.seal(upload_id, expected, known=known)

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """See `BlobStore`."""
        with self._timed("Move"):
            return await self._store.publish(upload_id, digest, known=known)

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """See `BlobStore`."""
        with self._timed("Delete"):
            await self._store.cancel_upload(upload_id, known=known)

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """See `BlobStore`."""
        with self._timed("Delete"):
            return await self._store.cancel_idle_upload(upload_id, before=before)

    async def uploads(self) -> list[tuple[str, int]]:
        """See `BlobStore`."""
        with self._timed("List"):
            return await self._store.uploads()

    @contextmanager
    def _timed(self, action: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.observe(time.perf_counter() - begun, self._driver, action)
