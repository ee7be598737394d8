"""Giving a manifest that is there one more tag."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata import events
from entrepot.metadata.contents import manifests, repositories, tags
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """One new tag, to be set in a write transaction."""

    name: RepositoryName
    digest: Digest
    tag: Tag
    actor: Actor

    async def run(self, tx: Transaction) -> bool:
        """Set it; False when the repository has a tag of that name already.

        Raises:
            ManifestUnknown: The repository has no such manifest.
        """
        repository = await repositories.find(tx, self.name)
        manifest = None if repository is None else await manifests.locked(tx, repository.id, str(self.digest))
        if repository is None or manifest is None:
            raise ManifestUnknown(detail={"name": self.name, "digest": str(self.digest)})
        if await tags.current(tx, repository.id, [self.tag]):
            return False
        names, digest = [self.tag], manifest.digest
        if await tags.add(tx, repository.id, names, manifest.id):
            return False
        if manifest.review_after is not None:  # it was part of something that went; now somebody wants it for itself
            await manifests.keep(tx, [manifest.id])
        await tags.remember(tx, repository.id, names, digest=digest, action=tags.SET, actor=self.actor.name)
        await outbox.add(tx, outbox.MANIFEST_PUT, repository=repository.name, digest=digest, tags=names)
        await events.add(tx, events.CREATE, by=self.actor, repository=repository.name, digest=digest, tag=self.tag)
        return True
