"""Copying a manifest, with all it refers to, from one repository to another: nothing is read or sent but manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid, ManifestUnknown
from entrepot.oci.manifest import Manifest
from entrepot.oci.reference import Reference, RepositoryName, Tag
from entrepot.registry.blobs import Blobs
from entrepot.registry.manifests import Manifests
from entrepot.registry.model import Actor
from entrepot.registry.references import blob_references
from entrepot.registry.referrers import Referrers

#: Manifests that one copy brings at most, with what they list and what refers to them.
MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be copied: what something needs stands before it."""

    order: list[Digest] = field(default_factory=list)
    seen: set[Digest] = field(default_factory=set)

    def is_new(self, digest: Digest) -> bool:
        if digest in self.seen:
            return False
        self.seen.add(digest)
        if len(self.seen) > MOST:
            raise ManifestInvalid(f"More than {MOST:,} manifests would have to be copied; copy parts of it.")
        return True


@dataclass(frozen=True, slots=True)
class Copying:
    """Copies within the registry."""

    manifests: Manifests
    blobs: Blobs
    referrers: Referrers

    async def copy(
        self, source: RepositoryName, reference: Reference, target: RepositoryName, *, actor: Actor
    ) -> Digest:
        """Copy a manifest, what an index lists and what refers to them; a tag is set in the target too.

        Raises:
            ManifestInvalid: There are more manifests than one copy brings.
            ManifestUnknown: The source has no such manifest.
            NameUnknown: The target's project does not exist and the actor may not create it.
            TagImmutable: A rule keeps the tag where it is in the target.
            Unsupported: The registry is read-only.
        """
        wanted = (await self.manifests.get(source, reference, content=False)).digest
        found = _Found()
        if isinstance(reference, Tag):
            await self.manifests.require_movable(target, reference, wanted)
        await self._visit(source, wanted, found)
        for digest in found.order:
            await self._bring(source, digest, target, reference if digest == wanted else digest, actor)
        return wanted

    async def _visit(self, source: RepositoryName, digest: Digest, found: _Found) -> None:
        if not found.is_new(digest):
            return
        try:
            _, manifest = await self._read(source, digest)
        except ManifestUnknown:
            return  # an index may list what its repository does not have
        for child in manifest.children:
            await self._visit(source, child.digest, found)
        found.order.append(digest)
        referrers, _ = await self.referrers.list(source, digest, limit=MOST)
        for referrer in referrers:
            await self._visit(source, referrer.digest, found)

    async def _bring(
        self, source: RepositoryName, digest: Digest, target: RepositoryName, reference: Reference, actor: Actor
    ) -> None:
        media_type, manifest = await self._read(source, digest)
        for _, blob in blob_references(manifest):
            await self.blobs.mount(target, blob.digest, source, actor=actor)
        await self.manifests.put(target, reference, media_type, manifest.raw, actor=actor)

    async def _read(self, source: RepositoryName, digest: Digest) -> tuple[str, Manifest]:
        stored = await self.manifests.get(source, digest, content=True)
        assert stored.content is not None  # it was asked for
        return stored.media_type, oci_manifest.parse(stored.content, stored.media_type, algorithm=digest.algorithm)
