"""Blobs that come back into the bucket of a registry, under the names that its metadata say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from entrepot.adapters.backups.bucket import Sending
from entrepot.adapters.blobs.objects.cloud import CloudError
from entrepot.adapters.blobs.objects.store import ObjectBlobStore, name_of
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, RegistryError, Unavailable
from entrepot.registry.ports import StoredBlob


class RestoredBucket:
    """A bucket that is being filled; `backup.ports.BlobSink` says what the methods do."""

    def __init__(self, store: ObjectBlobStore) -> None:
        """Ask nothing yet; whoever opened the store closes it."""
        self._store = store

    def key(self, key: str, digest: Digest) -> str:  # noqa: ARG002 - a folder goes by the digest
        """Keep the key: that of a folder is the digest, which names an object as registry:2 does."""
        return key

    async def find(self, key: str) -> StoredBlob | None:
        """Describe what lies under a key."""
        with suppress(BlobUnknown):
            return await self._store.stat(key)
        return None

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read what lies under a key."""
        async with aclosing(self._store.stream(key)) as pieces:
            async for piece in pieces:
                yield piece

    async def put(self, key: str, pieces: AsyncIterator[bytes]) -> StoredBlob:
        """Store a blob; it is seen when it is whole."""
        sending = Sending(self._store.cloud, self._store.calls, name_of(key))
        try:
            async for piece in pieces:
                await sending.add(piece)
            await sending.end()
        except BaseException as error:
            with suppress(RegistryError, CloudError):
                await sending.drop()
            if isinstance(error, CloudError):
                raise Unavailable(message=f"the blob storage does not take a blob: {error}") from error
            raise
        return await self._store.stat(key)

    async def settle(self) -> None:
        """Do nothing: an object that was acknowledged stays."""
