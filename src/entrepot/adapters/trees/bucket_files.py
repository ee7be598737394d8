"""Writing registry:2's objects into a bucket, for the way back (`projection.give_back.BucketFiles`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entrepot.adapters.blobs.objects.cloud import NoObject
from entrepot.adapters.trees.bucket_client import BucketClient
from entrepot.oci.digest import Digest
from entrepot.registry import layout


class BucketWriter:
    """A bucket to be given back."""

    def __init__(self, client: BucketClient) -> None:
        self._client = client

    def lying(self) -> Iterator[tuple[str, int]]:
        """Walk the digests and sizes of registry:2's blobs."""
        for found in self._client.listed(f"{layout.BLOBS}/"):
            *_, algorithm, first, encoded, _ = found.name.split("/")
            digest = layout.blob_at(algorithm, first, encoded)
            if digest is not None and layout.blob_data(digest) == found.name:
                yield str(digest), found.size

    def copy(self, wanted: Iterable[tuple[str, Digest, int]]) -> Iterator[bool]:
        """Copy blobs within the store."""
        return self._client.in_order(wanted, self._copy)

    async def _copy(self, wanted: tuple[str, Digest, int]) -> bool:
        key, digest, size = wanted
        try:
            await self._client.copy(key, layout.blob_data(digest), size)
        except NoObject:
            return False
        return True

    def put(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects."""
        for _ in self._client.in_order(objects, self._put):
            pass

    async def _put(self, thing: tuple[str, bytes]) -> None:
        await self._client.put(*thing)

    def remove(self, folders: Iterable[str]) -> None:
        """Remove objects, or all that lie below a path."""
        for path in folders:
            below = [found.name for found in self._client.listed(f"{path}/")]
            self._client.wait(self._client.delete(below or [path]))
