"""The push transaction: a manifest becomes visible with everything it needs, or not at all.

In order: the repository exists; what the manifest refers to is there and is won back from the collector, or from the
trash; the manifest and its references are written; tags move, unless a rule keeps one of them; what must follow goes
into the outbox; the project is charged, unless that is more than it may have. The last step is the last statement: all
pushes of a project wait for each other there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from entrepot.metadata import events
from entrepot.metadata.contents import blobs, manifests, repositories, repository_blobs
from entrepot.metadata.contents import tags as tag_rows
from entrepot.metadata.database import Transaction
from entrepot.metadata.integrity import manifest_references
from entrepot.metadata.jobs import outbox
from entrepot.metadata.usage import charges, usage
from entrepot.oci.descriptor import Descriptor
from entrepot.oci.errors import ManifestBlobUnknown, ManifestInvalid
from entrepot.oci.manifest import Manifest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import Actor
from entrepot.registry.projects import require_project
from entrepot.registry.quarantine import heal
from entrepot.registry.quota import ensure_repository, require_room
from entrepot.registry.references import blob_references
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.tag_rules import require_movable
from entrepot.registry.trash import take_back


@dataclass(frozen=True, slots=True)
class _Found:
    """What a manifest refers to, as far as the repository has it."""

    blobs: dict[str, blobs.BlobRow]
    manifests: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Added:
    """What a push adds to what its project uses."""

    blobs: tuple[int, ...] = ()
    manifest: charges.Charged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push of a parsed manifest, to be run in a write transaction."""

    name: RepositoryName
    manifest: Manifest
    tags: tuple[str, ...]
    actor: Actor
    settings: RegistrySettings

    async def run(self, tx: Transaction) -> usage.Standing | None:
        """Do it; return how the project stands, if it uses more now.

        Raises:
            ManifestBlobUnknown: Something that the manifest needs is not in the repository.
            ManifestInvalid: The repository knows these bytes under another media type, or a size is wrong.
            NameUnknown: The project does not exist and the actor may not create it.
            QuotaExceeded: The project has no room for it.
            TagImmutable: A rule of the project keeps one of the tags where it is.
        """
        repository = await self._repository(tx)
        found = await self._find_content(tx, repository)
        self._check(found)
        manifest_id, added = await self._store(tx, repository, found)
        await self._move_tags(tx, repository, manifest_id)
        digest = str(self.manifest.digest)
        revived = await self._revive(tx, repository, found)
        put = {"repository": repository.name, "digest": digest, "tags": self.tags, "blobs": revived}
        await outbox.add(tx, outbox.MANIFEST_PUT, **put)
        await events.add(
            tx,
            events.PUSH,
            by=self.actor,
            repository=repository.name,
            digest=digest,
            tag=self.tags[0] if self.tags else None,
            detail={"tags": self.tags} if len(self.tags) > 1 else None,
        )
        return await self._charge(tx, repository, added)

    async def _charge(
        self, tx: Transaction, repository: repositories.RepositoryRecord, added: _Added
    ) -> usage.Standing | None:
        if added == _Added():
            return None
        standing = await charges.charge(tx, repository.project_id, added.blobs, manifest=added.manifest)
        require_room(repository.project_id, self.name.project, standing)
        return standing

    async def _repository(self, tx: Transaction) -> repositories.RepositoryRecord:
        found = await repositories.find(tx, self.name)
        if found is not None:
            return found
        await require_project(tx, self.name, self.actor)
        return await ensure_repository(tx, self.name)

    async def _store(
        self, tx: Transaction, repository: repositories.RepositoryRecord, found: _Found
    ) -> tuple[int, _Added]:
        """Return the row id of the manifest, which is written unless the repository has it, and what that adds."""
        known = await manifests.push_again(tx, repository.id, str(self.manifest.digest))
        if known is not None:
            self._check_type(known)
            if await manifests.mend_content(tx, known.digest, self.manifest.raw):
                await heal(tx, None, known.digest, by="push")
            return known.id, await self._complete(tx, known.id, found)
        return await self._insert(tx, repository, found)

    async def _complete(self, tx: Transaction, manifest_id: int, found: _Found) -> _Added:
        """Refer to blobs that were missing when the repository got the manifest; else the collector would take them.

        Layers that may not be distributed come late, and so do blobs that a taken-over folder had lost.
        """
        before = set(await manifests.blob_ids(tx, manifest_id))
        late = {row.id for row in found.blobs.values()} - before
        if late:
            named = [str(blob.digest) for _, blob in blob_references(self.manifest)]
            known = await manifest_references.blob_ids(tx, named)  # those too that the store has lost since
            await manifests.drop_references(tx, manifest_id)
            kept = {digest: row_id for digest, row_id in known.items() if row_id in before}
            await self._refer(tx, manifest_id, found, kept)
        return _Added(tuple(sorted(late)))

    async def _insert(
        self, tx: Transaction, repository: repositories.RepositoryRecord, found: _Found
    ) -> tuple[int, _Added]:
        manifest = self.manifest
        digest = str(manifest.digest)
        manifest_id = await manifests.add(
            tx,
            repository.id,
            digest=digest,
            media_type=manifest.media_type,
            artifact_type=manifest.referrer_artifact_type,
            raw=manifest.raw,
            subject=None if manifest.subject is None else str(manifest.subject.digest),
            annotations=manifest.annotations,
        )
        if manifest_id is None:  # somebody else committed it since we looked
            known = await manifests.locked(tx, repository.id, digest)
            assert known is not None
            self._check_type(known)
            return known.id, _Added()
        await self._refer(tx, manifest_id, found)
        await manifests.connect_parents(tx, repository.id, digest, manifest_id)
        charged = charges.Charged(id=manifest_id, digest=digest, size=len(manifest.raw))
        return manifest_id, _Added(tuple(sorted({row.id for row in found.blobs.values()})), charged)

    async def _refer(
        self, tx: Transaction, manifest_id: int, found: _Found, kept: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        ids = {**kept, **{digest: row.id for digest, row in found.blobs.items()}}
        named = [(str(blob.digest), role) for role, blob in blob_references(self.manifest)]
        blob_rows = [(ids[digest], role) for digest, role in named if digest in ids]
        children = [
            (str(entry.digest), found.manifests.get(str(entry.digest)))
            for entry in self.manifest.manifests
            if str(entry.digest) not in ids
        ]
        await manifests.refer(tx, manifest_id, blobs=blob_rows, children=children)

    async def _find_content(self, tx: Transaction, repository: repositories.RepositoryRecord) -> _Found:
        wanted = sorted({str(blob.digest) for _, blob in blob_references(self.manifest)})
        blob_rows = await repository_blobs.held(tx, repository.id, wanted)
        await blobs.keep(tx, [row.id for row in blob_rows.values()], review_after=None)
        listed = sorted({str(entry.digest) for entry in self.manifest.manifests} - blob_rows.keys())
        present = await manifests.present(tx, repository.id, listed)
        if len(present) < len(listed):
            present |= await take_back(tx, repository, set(listed) - present.keys())
        if len(present) < len(listed):
            present |= await self._look_again(tx, repository, set(listed) - present.keys())
        return _Found(blob_rows, present)

    async def _look_again(
        self, tx: Transaction, repository: repositories.RepositoryRecord, missing: Collection[str]
    ) -> dict[str, int]:
        """Look for manifests that are just being pushed; one that comes after this finds the index that lists it."""
        await repositories.lock(tx, repository.id)
        return await manifests.present(tx, repository.id, sorted(missing))

    async def _revive(self, tx: Transaction, repository: repositories.RepositoryRecord, found: _Found) -> list[str]:
        """Let the repository hold what it was losing; return the digests of that."""
        lapsing = [row for row in found.blobs.values() if row.lapses_at is not None]
        await repository_blobs.link_all(tx, repository.id, [row.id for row in lapsing])
        return [row.digest for row in lapsing]

    def _check(self, found: _Found) -> None:
        """Refuse the manifest unless everything it needs is there."""
        missing = [blob for blob in self.manifest.required_blobs if str(blob.digest) not in found.blobs]
        missing = [entry for entry in missing if str(entry.digest) not in found.manifests]
        absent = [entry for entry in self.manifest.children if str(entry.digest) not in found.manifests]
        missing += [entry for entry in absent if self._requires(entry)]
        if missing:
            raise ManifestBlobUnknown(detail=[{"digest": str(entry.digest)} for entry in missing])
        for _, blob in blob_references(self.manifest):
            row = found.blobs.get(str(blob.digest))
            if row is not None and row.size != blob.size:
                raise ManifestInvalid(
                    f"The manifest says that {blob.digest} has {blob.size} bytes, but it has {row.size}."
                )

    def _requires(self, entry: Descriptor) -> bool:
        platform = entry.platform or {}
        return self.settings.requires_platform(str(platform.get("architecture", "")), str(platform.get("os", "")))

    def _check_type(self, known: manifests.ManifestRow) -> None:
        if known.media_type != self.manifest.media_type:
            raise ManifestInvalid(
                f"The repository has this digest as {known.media_type}; it cannot become {self.manifest.media_type}."
            )

    async def _move_tags(self, tx: Transaction, repository: repositories.RepositoryRecord, manifest_id: int) -> None:
        digest, tags = str(self.manifest.digest), list(self.tags)
        while tags:
            before = await tag_rows.current(tx, repository.id, tags)
            moved = [tag for tag in tags if before.get(tag) != digest]
            await require_movable(self.settings.tag_rules, tx, repository, before.keys() & set(moved))
            await tag_rows.put(tx, repository.id, list(before), manifest_id)
            # What somebody else has set at this moment may not be moved any more: it is asked again.
            tags = await tag_rows.add(tx, repository.id, [tag for tag in tags if tag not in before], manifest_id)
            now = [tag for tag in moved if tag not in tags]
            await tag_rows.remember(tx, repository.id, now, digest=digest, action=tag_rows.SET, actor=self.actor.name)
