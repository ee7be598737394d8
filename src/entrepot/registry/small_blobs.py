"""Small blobs in memory: the configurations of images, above all, which every pull asks for.

Opening, reading and closing a file costs several times what such an answer does. The bytes of a digest never change, so
only the space is a question; whether a repository holds the blob is asked of the metadata each time, as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import BlobStore
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.verification import PULL, lost

#: Larger ones are sent from where they lie: their bytes cost more than their file.
SMALL = 64 * 1024


@dataclass(frozen=True, slots=True)
class SmallBlobs:
    """The blobs that are answered from memory."""

    store: BlobStore
    cache: ContentCache
    quarantine: Quarantine

    async def content(self, blob: BlobRecord) -> bytes | None:
        """Return the bytes of a small blob, verified; None for all others, and where the bytes cannot be read.

        What is wrong with those is said by whoever sends them in the usual way.

        Raises:
            BlobUnknown: The bytes have another digest; the blob is in quarantine now.
        """
        if blob.size > SMALL:
            return None
        content = self.cache.get(str(blob.digest))
        return await self._read(blob) if content is None else content

    async def _read(self, blob: BlobRecord) -> bytes | None:
        try:
            # An object that was read whole needs no look at it, which would be a request of its own.
            file = None if self.store.has_state else await self.store.stat(blob.key)
            content = b"".join([piece async for piece in self.store.stream(blob.key, 0, blob.size)])
            is_whole = Digest.of(content, blob.digest.algorithm) == blob.digest
            if not is_whole and file is None:
                file = await self.store.stat(blob.key)
        except RegistryError:
            return None
        if file is not None and file.size != blob.size:
            return None
        if file is not None and not is_whole:
            detail = f"the {blob.size} bytes have another digest"
            await self.quarantine.damaged(blob.digest, file, detail, by=PULL)
            raise lost(blob)
        self.cache.put(str(blob.digest), content)
        return content
