"""Blobs put into a folder by the hundred thousand, before anybody serves it: synced once, at the end."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final

from entrepot.adapters.blobs.errors import translated
from entrepot.adapters.disk import Modes, sync_file_system, write_whole
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

_DRAFTS: Final = f"{layout.OWN}/restoring"
_PIECE = 1024 * 1024
_LIKE_REGISTRY2: Final = Modes(file=0o666, folder=0o777)


class BulkBlobs:
    """A folder in registry:2's layout that is being filled."""

    def __init__(self, root: Path) -> None:
        """Make the folders that are needed; blocks."""
        self._root = root
        self._drafts = root / _DRAFTS
        (root / layout.OWN).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drafts.mkdir(mode=0o700, exist_ok=True)

    def close(self) -> None:
        """Remove drafts."""
        for draft in self._drafts.iterdir():
            draft.unlink(missing_ok=True)
        self._drafts.rmdir()

    def key(self, key: str, digest: Digest) -> str:
        """Name a blob by its digest where its key is that of an object; blobs that share a file go on to."""
        return str(digest) if layout.is_object(key) else key

    async def find(self, key: str) -> StoredBlob | None:
        """Describe what lies under a key."""
        try:
            found = await asyncio.to_thread(os.stat, self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _described(key, found)

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read what lies under a key."""
        with translated(BlobUnknown):
            file = await asyncio.to_thread(self._path(key).open, "rb", buffering=0)
            try:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece
            finally:
                file.close()

    async def put(self, key: str, pieces: AsyncIterator[bytes]) -> StoredBlob:
        """Store a blob."""
        path = self._path(key)
        with translated(BlobUnknown):
            await write_whole(self._drafts / secrets.token_hex(8), path, pieces, _LIKE_REGISTRY2)
            return _described(key, await asyncio.to_thread(os.stat, path))

    async def settle(self) -> None:
        """Sync the file system."""
        with translated(BlobUnknown):
            await asyncio.to_thread(sync_file_system, self._root)

    def _path(self, key: str) -> Path:
        return self._root / layout.blob_data(Digest.parse(key))


def _described(key: str, found: os.stat_result) -> StoredBlob:
    return StoredBlob(key=key, size=found.st_size, inode=found.st_ino, mtime_ns=found.st_mtime_ns)
