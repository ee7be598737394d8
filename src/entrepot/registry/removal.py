"""Deleting tags and manifests: what pointed at them goes first, what they pointed at is queued for review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from entrepot.metadata import events
from entrepot.metadata.contents import manifests, repositories, tags
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.accessories import Accessories
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.tag_rules import require_movable
from entrepot.registry.trash import Disposal, deletion_in, new_deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Deletes from one repository, to be run in a write transaction."""

    name: RepositoryName
    actor: Actor
    settings: RegistrySettings
    on_disk: bool = True  #: registry:2's files must follow; else they were first, and go on linking the blobs
    deletion: str = field(default_factory=new_deletion)  #: what goes together
    detail: Mapping[str, object] | None = None  #: for the audit log
    expected: Digest | None = None  #: what a tag has to name: else it is another one, and stays

    async def delete_tag(self, tag: Tag, tx: Transaction) -> None:
        """Remove a tag; the manifest stays.

        Raises:
            ManifestUnknown: There is no such tag, or it names something else than expected.
            TagImmutable: A rule of the project keeps it.
        """
        repository = await self._repository(tx, tag)
        digest = (await tags.current(tx, repository.id, [tag])).get(tag)
        if digest is None or (self.expected is not None and digest != str(self.expected)):
            raise ManifestUnknown(detail={"name": self.name, "tag": tag})
        await self._untag(tx, repository, [tag], digest)
        await (await self._disposal(tx, repository)).tag(tx, tag, digest)
        if self.on_disk:
            await outbox.add(tx, outbox.TAG_DELETED, repository=repository.name, tag=tag)
        await self._tell(tx, repository, digest, tag)

    async def delete_manifest(self, digest: Digest, tx: Transaction) -> None:
        """Remove a manifest, the tags that point at it, and what is about it: signatures, SBOMs.

        Raises:
            Denied: An index lists it.
            ManifestUnknown: There is no such manifest.
            TagImmutable: A rule of the project keeps one of its tags.
        """
        repository = await self._repository(tx, digest)
        manifest = await manifests.locked(tx, repository.id, str(digest))
        if manifest is None:
            raise ManifestUnknown(detail={"name": self.name, "digest": str(digest)})
        if (indexes := await manifests.parents(tx, manifest.id)) > 0:
            raise Denied(f"The manifest belongs to {indexes} index(es) of this repository; delete those first.")
        names = await tags.of_manifest(tx, manifest.id)
        await self._untag(tx, repository, names, manifest.digest)
        disposal = await self._disposal(tx, repository)
        if self.on_disk:
            accessories = Accessories(disposal=disposal, rules=self.settings.tag_rules, actor=self.actor)
            await accessories.take(tx, manifest.digest)
        unread = await disposal.manifest(tx, manifest, names)
        if self.on_disk:
            gone = {"repository": repository.name, "digest": manifest.digest, "tags": names, "blobs": unread}
            await outbox.add(tx, outbox.MANIFEST_DELETED, **gone)
        await self._tell(tx, repository, manifest.digest)

    async def _repository(self, tx: Transaction, reference: Tag | Digest) -> RepositoryRecord:
        found = await repositories.find(tx, self.name)
        if found is None:
            raise ManifestUnknown(detail={"name": self.name, "reference": str(reference)})
        return found

    async def _untag(self, tx: Transaction, repository: RepositoryRecord, names: Sequence[str], digest: str) -> None:
        if names:
            await require_movable(self.settings.tag_rules, tx, repository, names)
            await tags.remember(tx, repository.id, names, digest=digest, action=tags.DELETED, actor=self.actor.name)
            await tags.remove(tx, repository.id, names)

    async def _tell(self, tx: Transaction, repository: RepositoryRecord, digest: str, tag: str | None = None) -> None:
        name = repository.name
        await events.add(tx, events.DELETE, by=self.actor, repository=name, digest=digest, tag=tag, detail=self.detail)

    async def _disposal(self, tx: Transaction, repository: RepositoryRecord) -> Disposal:
        kept = await deletion_in(
            tx, repository.project_id, self.settings, actor=self.actor.name, deletion=self.deletion
        )
        grace = self.settings.grace_seconds
        return Disposal(repository=repository, deletion=kept, grace_seconds=grace, lets_go=self.on_disk)
