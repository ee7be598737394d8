"""Artifacts changed: deleted, tagged, labelled and copied."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.faults import Conflict, Invalid, NotFound, PreconditionFailed
from entrepot.metadata import events
from entrepot.metadata.contents import artifact_labels
from entrepot.metadata.contents.artifact_parts import ArtifactRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestBlobUnknown, ManifestUnknown, TagInvalid
from entrepot.oci.reference import Reference, RepositoryName, Tag
from entrepot.registry.manifest_copy import Copying, MayTag, any_tag
from entrepot.registry.manifests import Manifests
from entrepot.registry.model import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The use cases that change artifacts; whether the caller may, the caller's side has asked before."""

    metadata: Database
    manifests: Manifests
    copying: Copying

    async def delete(self, artifact: ArtifactRecord, *, by: Actor) -> None:
        """Delete an artifact with all its tags.

        Raises:
            NotFound: It has gone in the meantime.
            PreconditionFailed: An index lists it.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        try:
            name = RepositoryName(artifact.repository)
            await self.manifests.delete(name, Digest.parse(artifact.digest), actor=by)
        except Denied as error:
            raise PreconditionFailed(error.message) from None
        except ManifestUnknown:
            raise NotFound(f"there is no artifact {artifact.digest} any more") from None

    async def add_tag(self, artifact: ArtifactRecord, name: str, *, by: Actor) -> None:
        """Give an artifact one more tag.

        Raises:
            Conflict: The repository has a tag of this name.
            Invalid: No tag can have this name.
            NotFound: The artifact has gone in the meantime.
            Unsupported: The registry is read-only.
        """
        try:
            tag = Tag.parse(name)
            digest = Digest.parse(artifact.digest)
            added = await self.manifests.add_tag(RepositoryName(artifact.repository), digest, tag, actor=by)
        except TagInvalid as error:
            raise Invalid(error.message) from None
        except ManifestUnknown:
            raise NotFound(f"there is no artifact {artifact.digest} any more") from None
        if not added:
            raise Conflict(f"repository {artifact.repository} has a tag {tag} already; delete it first, or push to it")

    async def delete_tag(self, artifact: ArtifactRecord, name: str, *, by: Actor) -> None:
        """Take a tag off an artifact, which stays.

        Raises:
            NotFound: The artifact has no such tag.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        repository, expected = RepositoryName(artifact.repository), Digest.parse(artifact.digest)
        try:
            await self.manifests.delete(repository, Tag(name), actor=by, expected=expected)
        except ManifestUnknown:
            raise NotFound(f"artifact {artifact.digest} has no tag {name[:128]}") from None

    async def add_label(self, artifact: ArtifactRecord, label_id: int, *, by: Source) -> None:
        """Put a label on an artifact.

        Raises:
            Conflict: It is there already.
            NotFound: There is no such label for this project.
        """

        async def work(tx: Transaction) -> None:
            name = await artifact_labels.usable(tx, label_id, artifact.project_id)
            if name is None:
                raise NotFound(f"there is no label {label_id} that artifacts of this project may have")
            if not await artifact_labels.add(tx, artifact.id, label_id):
                raise Conflict(f"label {name} is on artifact {artifact.digest} already")
            await _note(tx, artifact, by, {"label_added": name})

        await self.metadata.write(work, name="label artifact")

    async def remove_label(self, artifact: ArtifactRecord, label_id: int, *, by: Source) -> None:
        """Take a label off an artifact.

        Raises:
            NotFound: It is not there.
        """

        async def work(tx: Transaction) -> None:
            if not await artifact_labels.remove(tx, artifact.id, label_id):
                raise NotFound(f"artifact {artifact.digest} has no label {label_id}")
            await _note(tx, artifact, by, {"label_removed": label_id})

        await self.metadata.write(work, name="unlabel artifact")

    async def copy(
        self,
        source: RepositoryRecord,
        reference: Reference,
        target: RepositoryName,
        *,
        by: Actor,
        may_tag: MayTag = any_tag,
    ) -> str:
        """Copy an artifact into a repository with its tags, what it lists and what is about it; return its digest.

        Of its other tags, those that `may_tag` lets go.

        Raises:
            NotFound: The source has no such artifact, or part of it has gone.
            ManifestInvalid: It has too many parts.
            NameUnknown: The target's project does not exist.
            Unsupported: The registry is read-only.
        """
        try:
            copied = await self.copying.copy(RepositoryName(source.name), reference, target, actor=by, may_tag=may_tag)
            return str(copied)
        except (ManifestUnknown, ManifestBlobUnknown):
            raise NotFound(f"there is no artifact {reference} in {source.name}, or part of it is gone") from None


async def _note(tx: Transaction, artifact: ArtifactRecord, by: Source, detail: dict[str, object]) -> None:
    await events.add(tx, events.UPDATE, by=by, repository=artifact.repository, digest=artifact.digest, detail=detail)
