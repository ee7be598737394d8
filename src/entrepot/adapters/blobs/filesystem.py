"""Blobs as files in registry:2's layout (`registry/layout.py`), durable when published.

The order of disk effects in a push, which tests/faults/test_crash_states.py replays with the power cut at every point::

    write bytes ─► fsync file ─► rename to <hex>/data ─► fsync <hex>/ ─► fsync its parent ─► acknowledged
    └─ append ─┘   └─ seal ──┘   └────────────────────── publish ──────────────────────┘

Open uploads lie in the same file system as the blobs, so that publishing is a rename. Each request that changes one has
the lock of its file; several workers, or several servers of one host, share a folder that way.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from entrepot.adapters.blobs.blob_reader import Streams
from entrepot.adapters.blobs.boot import current_boot
from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.shared_folder import SharedFs
from entrepot.adapters.blobs.threads import DISK_THREADS, Threads
from entrepot.adapters.blobs.tree import BlobTree
from entrepot.adapters.blobs.upload_file import HasRoom, always
from entrepot.adapters.blobs.uploads import Uploads
from entrepot.metadata.engine.filesystems import may_wait
from entrepot.oci.digest import Digest
from entrepot.registry.ports import Keep, StoredBlob, UploadProgress

#: A path takes longer to put together than to look at, on every pull.
_REMEMBERED_PATHS = 1024
#: Files that are looked at without a break: whoever wants few of them does not wait for all.
_DESCRIBED_AT_ONCE = 500
_NOTHING_YET = UploadProgress(offset=0, hashed=None)


class FilesystemBlobStore:
    """The blob store and the local files of one root folder."""

    def __init__(
        self,
        root: Path,
        *,
        fs: Fs | None = None,
        boot: str | None = None,
        threads: int = DISK_THREADS,
        has_room: HasRoom = always,
        shared: bool = False,
    ) -> None:
        """Open a root folder, making what is missing; blocks, so call it at the start.

        Args:
            root: registry:2's `rootdirectory`.
            fs: The disk, unless a test brings another.
            boot: A name of the machine's current boot, unless a test brings another.
            threads: Most file calls at once.
            shared: Whether other hosts write to the folder too.
            has_room: Tells whether so many bytes more may be written to the disk, which is full before its last byte.

        Raises:
            OSError: The folder cannot be made or written to.
        """
        self._shared = SharedFs() if shared else None
        self._waits = False
        disk = fs or self._shared or Fs()
        place = str(root.absolute())
        self._threads = Threads(threads)
        self._tree = BlobTree(disk, place)
        self._uploads = Uploads(disk, self._threads, self._tree, place, has_room)
        self._streams = Streams(disk, self._threads)
        self._path = lru_cache(_REMEMBERED_PATHS)(self._find_path)
        self._tree.prepare()
        self._uploads.prepare(boot or current_boot())
        # To look at a file is a question to another machine then.
        self._waits = shared and may_wait(root)

    def close(self) -> None:
        """Stop the threads when they have done what they are at."""
        self._threads.close()

    def path(self, key: str) -> Path:
        """Say where the bytes of a key are."""
        return self._path(key)

    async def look(self, path: str) -> os.stat_result:
        """Describe a file; one of a folder of this host in the event loop, as that takes no time."""
        if self._shared is None:
            return os.stat(path)  # noqa: PTH116 - a Path costs more than the call itself, on every pull
        if not self._waits:
            with suppress(FileNotFoundError):
                return os.stat(path)  # noqa: PTH116 - as above
        return await self._threads.call(self._shared.seen, path)

    def _find_path(self, key: str) -> Path:
        return Path(self._tree.path(Digest.parse(key)))

    async def stat(self, key: str) -> StoredBlob:
        """Describe a blob."""
        return self._tree.stat(Digest.parse(key))

    def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a blob in pieces."""
        return self._streams.read(self._tree.path(Digest.parse(key)), start, length)

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        await self._threads.call(self._tree.remove, Digest.parse(key))

    async def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """Walk the blobs, folder by folder."""
        for algorithm, shard in await self._threads.call(self._tree.shards):
            if f"{algorithm}:{shard}" >= after[: len(algorithm) + 1 + len(shard)]:
                digests = await self._threads.call(self._tree.in_shard, algorithm, shard, after)
                for start in range(0, len(digests), _DESCRIBED_AT_ONCE):
                    some = digests[start : start + _DESCRIBED_AT_ONCE]
                    for blob in await self._threads.call(self._tree.describe, some):
                        yield blob

    @property
    def has_state(self) -> bool:
        """Say no: an upload is a file that every process finds."""
        return False

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """Open an empty upload."""
        await self._threads.call(self._uploads.create, upload_id)
        return _NOTHING_YET

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """Say how many bytes of an upload are stored."""
        del known
        if self._waits:
            return await self._threads.call(self._uploads.size, upload_id)
        return self._uploads.size(upload_id)

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
        del keep, owner
        return await self._uploads.append(upload_id, chunks, offset, algorithm, known)

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """Verify an upload and make it durable."""
        return UploadProgress(offset=await self._uploads.seal(upload_id, expected, known), hashed=expected)

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """Make a sealed upload a blob."""
        del known
        return await self._uploads.publish(upload_id, digest)

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """Drop an upload."""
        del known
        await self._uploads.cancel(upload_id)

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """Drop an upload that nobody uses."""
        return await self._uploads.cancel_idle(upload_id, before)

    async def uploads(self) -> list[tuple[str, int]]:
        """List every upload."""
        return await self._threads.call(self._uploads.all)
