"""Deleting tags and manifests: what pointed at them goes first, what they pointed at is queued for review."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata import blobs, clock, events, manifests, outbox, repositories, review, tags
from entrepot.metadata.database import Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Deletes from one repository, to be run in a write transaction."""

    name: RepositoryName
    actor: Actor
    grace_seconds: float
    on_disk: bool = True  #: registry:2's files say otherwise and must follow

    async def delete_tag(self, tag: Tag, tx: Transaction) -> None:
        """Remove a tag; the manifest stays.

        Raises:
            ManifestUnknown: There is no such tag.
        """
        repository = await self._repository(tx, tag)
        digest = (await tags.current(tx, repository.id, [tag])).get(tag)
        if digest is None:
            raise ManifestUnknown(detail={"name": self.name, "tag": tag})
        await self._untag(tx, repository, [tag], digest)
        if self.on_disk:
            await outbox.add(tx, outbox.TAG_DELETED, repository=repository.name, tag=tag)
        await events.add(
            tx,
            events.DELETE,
            by=self.actor,
            repository=repository.name,
            digest=digest,
            tag=tag,
        )

    async def delete_manifest(self, digest: Digest, tx: Transaction) -> None:
        """Remove a manifest and the tags that point at it.

        Raises:
            Denied: An index lists it.
            ManifestUnknown: There is no such manifest.
        """
        repository = await self._repository(tx, digest)
        manifest = await manifests.locked(tx, repository.id, str(digest))
        if manifest is None:
            raise ManifestUnknown(detail={"name": self.name, "digest": str(digest)})
        if (indexes := await manifests.parents(tx, manifest.id)) > 0:
            raise Denied(f"The manifest belongs to {indexes} index(es) of this repository; delete those first.")
        names = await tags.of_manifest(tx, manifest.id)
        await self._untag(tx, repository, names, manifest.digest)
        grace = self.grace_seconds
        await remove_for_good(tx, manifest, project_id=repository.project_id, grace_seconds=grace)
        if self.on_disk:
            gone = {"repository": repository.name, "digest": manifest.digest, "tags": names}
            await outbox.add(tx, outbox.MANIFEST_DELETED, **gone)
        await events.add(
            tx,
            events.DELETE,
            by=self.actor,
            repository=repository.name,
            digest=manifest.digest,
        )

    async def _repository(self, tx: Transaction, reference: Tag | Digest) -> repositories.RepositoryRecord:
        found = await repositories.find(tx, self.name)
        if found is None:
            raise ManifestUnknown(detail={"name": self.name, "reference": str(reference)})
        return found

    async def _untag(
        self, tx: Transaction, repository: repositories.RepositoryRecord, names: list[str] | list[Tag], digest: str
    ) -> None:
        if names:
            await tags.remember(tx, repository.id, names, digest=digest, action=tags.DELETED, actor=self.actor.name)
            await tags.remove(tx, repository.id, names)


async def remove_for_good(
    tx: Transaction, manifest: manifests.ManifestRow, *, project_id: int, grace_seconds: float
) -> None:
    """Remove a manifest that no tag points at any more, and queue for review whatever only it may have needed.

    The number of statements does not depend on how much that is.

    Args:
        tx: The transaction.
        manifest: What goes, locked by the caller.
        project_id: Whose use of its blobs ends.
        grace_seconds: How long what it needed is left alone.
    """
    blob_ids = await manifests.blob_ids(tx, manifest.id)
    dependants = await manifests.dependants(tx, manifest)
    bytes_went = await manifests.remove(tx, manifest)
    await blobs.discharge(tx, project_id, blob_ids)
    after = clock.after(grace_seconds)
    await blobs.queue(tx, blob_ids, review_after=after)
    await review.add(tx, review.BLOB, blob_ids, after=after, reason="manifest deleted")
    await manifests.queue(tx, dependants, review_after=after)
    await review.add(tx, review.MANIFEST, dependants, after=after, reason="parent or subject deleted")
    if bytes_went:
        await review.add_files(tx, [manifest.digest], after=after, reason="manifest deleted")
