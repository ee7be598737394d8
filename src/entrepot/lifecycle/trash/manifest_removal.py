"""Removing a manifest that lies in the trash, with what only it lists there and what refers to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from entrepot.lifecycle.trash.kept_dependencies import keep_with_index
from entrepot.lifecycle.trash.locations import drop_if_empty
from entrepot.lifecycle.trash.related_manifests import in_order
from entrepot.metadata.contents import blobs, manifests, repositories, repository_blobs
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import trash
from entrepot.registry.trash import remove_for_good


@dataclass(frozen=True, slots=True)
class Lying:
    """What one deletion put into one shadow; `repository_id` is where it was deleted, if that is still there."""

    metadata: Database
    grace_seconds: float
    place_id: int
    repository_id: int | None
    deletion: str

    async def remove(self, digest: str) -> int:
        """Remove a manifest for good, with all entries that name it; return how many manifests went."""
        order = await in_order(self.metadata, self.place_id, digest, self.deletion)
        count = await self.metadata.write(partial(self._root, digest), name="purge")
        for part in reversed(order):
            if part != digest:
                count += await self.metadata.write(partial(self._part, part), name="purge")
        return count

    async def _root(self, digest: str, tx: Transaction) -> int:
        entries = await trash.of_digest(tx, self.place_id, digest)
        await trash.remove(tx, [entry.id for entry in entries])
        return await self._manifest(tx, digest)

    async def _part(self, digest: str, tx: Transaction) -> int:
        """Remove what belonged to it, unless something else in the trash needs that."""
        entries = await trash.of_digest(tx, self.place_id, digest)
        mine = [entry for entry in entries if entry.deletion == self.deletion]
        await trash.remove(tx, [entry.id for entry in mine])
        found = await manifests.locked(tx, self.place_id, digest)
        if found is None or len(mine) < len(entries) or (mine and await keep_with_index(tx, mine[0])):
            return 0
        return 0 if await manifests.parents(tx, found.id) else await self._manifest(tx, digest)

    async def _manifest(self, tx: Transaction, digest: str) -> int:
        found = await manifests.locked(tx, self.place_id, digest)
        place = await repositories.find_by_id(tx, self.place_id)
        if found is None or place is None:
            return 0
        blob_ids = await manifests.blob_ids(tx, found.id)
        await blobs.lock(tx, blob_ids)
        await remove_for_good(tx, found, project_id=place.project_id, grace_seconds=self.grace_seconds)
        if self.repository_id is not None:
            await repository_blobs.cut_short(tx, self.repository_id, blob_ids)
        await drop_if_empty(tx, self.place_id)
        return 1
