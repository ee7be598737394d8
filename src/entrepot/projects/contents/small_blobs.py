"""Blobs that say something of an artifact, read whole: a bound for each, and the latest kept in memory."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from entrepot.metadata.contents.artifact_parts import ConfigRecord
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.ports import BlobStore

MIB: Final = 1024 * 1024
#: The largest configuration that is looked into; an image's has some kilobytes.
LARGEST: Final = MIB
_KEPT: Final = 16 * MIB


class SmallBlobs:
    """Reads small blobs of a store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._cache = ContentCache(_KEPT)

    async def read(self, blob: ConfigRecord, *, largest: int = LARGEST) -> bytes | None:
        """Return a blob's bytes; None when it is larger than `largest`, not there, or damaged."""
        content = self._cache.get(blob.digest)
        if content is None and 0 < blob.size <= largest:
            content = await self._whole(blob)
            if content is not None:
                self._cache.put(blob.digest, content)
        return content

    async def _whole(self, blob: ConfigRecord) -> bytes | None:
        found = bytearray()
        try:
            async with aclosing(self._store.stream(blob.key, 0, blob.size)) as pieces:
                async for piece in pieces:
                    found += piece
        except (BlobUnknown, Unavailable):
            return None
        digest = Digest.parse(blob.digest)
        return bytes(found) if Digest.of(found, digest.algorithm) == digest else None
