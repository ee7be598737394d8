"""Copying a manifest, with all it refers to, from one repository to another: nothing is read or sent but manifests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from entrepot.metadata.contents import artifact_parts
from entrepot.metadata.contents import manifests as rows
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid, ManifestUnknown
from entrepot.oci.manifest import Manifest
from entrepot.oci.reference import Reference, RepositoryName, Tag
from entrepot.oci.referrers import tags_beside
from entrepot.registry.blobs import Blobs
from entrepot.registry.manifests import Manifests
from entrepot.registry.model import Actor
from entrepot.registry.references import blob_references
from entrepot.registry.referrers import Referrers

#: Manifests that one copy brings at most, with what they list and what refers to them; and tags, the newest.
MOST: Final = 1_000
#: Tells whether a tag may be read in the source and set in the target.
MayTag = Callable[[str], Awaitable[bool]]


async def any_tag(_tag: str) -> bool:
    """Let all tags be copied."""
    return True


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be copied: what something needs stands before it."""

    order: list[Digest] = field(default_factory=list)
    seen: set[Digest] = field(default_factory=set)
    tags: dict[Digest, list[Tag]] = field(default_factory=dict)

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
        self,
        source: RepositoryName,
        reference: Reference,
        target: RepositoryName,
        *,
        actor: Actor,
        may_tag: MayTag = any_tag,
    ) -> Digest:
        """Copy a manifest with its tags, what an index lists and what is about them: signatures, SBOMs.

        Args:
            source: Where from.
            reference: What; its other tags are set in the target too.
            target: Where to.
            actor: Who does it.
            may_tag: Asked of each other tag.

        Raises:
            ManifestInvalid: There are more manifests than one copy brings.
            ManifestUnknown: The source has no such manifest.
            NameUnknown: The target's project does not exist and the actor may not create it.
            TagImmutable: A rule keeps one of the tags where it is in the target.
            Unsupported: The registry is read-only.
        """
        stored = await self.manifests.get(source, reference, content=False)
        wanted, found = stored.digest, _Found()
        found.tags[wanted] = await self._tags(stored.id, reference, may_tag)
        for tag in found.tags[wanted]:
            await self.manifests.require_movable(target, tag, wanted)
        await self._visit(source, wanted, found, may_tag)
        for digest in found.order:
            await self._bring(source, digest, target, found.tags.get(digest, ()), actor)
        return wanted

    async def _tags(self, manifest_id: int, reference: Reference, may_tag: MayTag) -> list[Tag]:
        """Return the tag that was asked for, then the others, the newest first."""
        asked = [reference] if isinstance(reference, Tag) else []
        known = await artifact_parts.tags_of_all(self.manifests.metadata, [manifest_id], each=MOST)
        others = [Tag(one.name) for one in known.get(manifest_id, ()) if one.name not in asked]
        return asked + [tag for tag in others if await may_tag(tag)]

    async def _visit(self, source: RepositoryName, digest: Digest, found: _Found, may_tag: MayTag) -> None:
        if not found.is_new(digest):
            return
        try:
            _, manifest = await self._read(source, digest)
        except ManifestUnknown:
            return  # an index may list what its repository does not have
        for child in manifest.children:
            await self._visit(source, child.digest, found, may_tag)
        found.order.append(digest)
        referrers, _ = await self.referrers.list(source, digest, limit=MOST)
        for referrer in referrers:
            await self._visit(source, referrer.digest, found, may_tag)
        for tag in map(Tag, tags_beside(str(digest))):
            row = await self.manifests.lookup.find(source, partial(rows.by_tag, self.manifests.metadata, tag=tag))
            if row is not None and await may_tag(tag):
                found.tags.setdefault(Digest.parse(row.digest), []).append(tag)
                await self._visit(source, Digest.parse(row.digest), found, may_tag)

    async def _bring(
        self, source: RepositoryName, digest: Digest, target: RepositoryName, tags: Sequence[Tag], actor: Actor
    ) -> None:
        media_type, manifest = await self._read(source, digest)
        for _, blob in blob_references(manifest):
            await self.blobs.mount(target, blob.digest, source, actor=actor)
        most = self.manifests.settings.max_tags_per_push
        for start in range(0, max(len(tags), 1), most):
            some = tags[start : start + most]
            await self.manifests.put(target, digest, media_type, manifest.raw, tags=some, actor=actor)

    async def _read(self, source: RepositoryName, digest: Digest) -> tuple[str, Manifest]:
        stored = await self.manifests.get(source, digest, content=True)
        assert stored.content is not None  # it was asked for
        return stored.media_type, oci_manifest.parse(stored.content, stored.media_type, algorithm=digest.algorithm)
