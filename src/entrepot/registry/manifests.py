"""Manifests of repositories: get, push, delete.

A push is decided here, in one transaction (`push.Push`); the bytes are checked before it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, repositories
from entrepot.metadata.contents import manifests as rows
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.usage import reservations, usage
from entrepot.oci import manifest as oci_manifest
from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    Denied,
    DigestInvalid,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    QuotaExceeded,
    TagInvalid,
)
from entrepot.oci.reference import Reference, RepositoryName, Tag
from entrepot.registry import quota
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor, PutResult, StoredManifest
from entrepot.registry.push import Push
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.references import blob_references
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.tag_addition import Tagging
from entrepot.registry.tag_rules import require_movable
from entrepot.registry.verification import PULL

#: A manifest's bytes are written to the database's log, to the database, and to registry:2's file.
_COPIES = 3


@dataclass(frozen=True, slots=True)
class Manifests:
    """The manifests of repositories."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings
    cache: ContentCache
    quarantine: Quarantine
    #: Manifests whose bytes this process found damaged, until it finds them whole.
    damaged: set[str] = field(default_factory=set)

    async def get(self, name: RepositoryName, reference: Reference, *, content: bool) -> StoredManifest:
        """Find a manifest by tag or digest, with its bytes when `content` is set.

        One that is queued for collection gets a new grace: whoever was told that it is there may push an index of it.

        Raises:
            ManifestUnknown: The repository has no such tag or manifest, or its bytes are damaged.
        """
        row = await self._find(name, reference)
        while self._wants_renewal(row) and not await self._renew(row):
            row = await self._find(name, reference)
        raw = await self.content(row.digest) if content or row.digest in self.damaged else None
        while raw is None and (content or row.digest in self.damaged):
            if row.digest in self.damaged:
                raise ManifestUnknown(
                    "The registry has lost the bytes of this manifest; push it again.", detail={"digest": row.digest}
                )
            # Deleted since its row was read; the tag may have been moved to another one before that.
            row = await self._find(name, reference)
            raw = await self.content(row.digest)
        digest, settled = Digest.parse(row.digest), row.review_after is None
        return StoredManifest(row.id, digest, row.media_type, row.size, raw, settled)

    async def is_still(self, name: RepositoryName, reference: Reference, found: StoredManifest) -> bool:
        """Tell, by one question, whether `get` would find the same and change nothing; False where it takes more."""
        row = await self._row(name, reference)
        return (
            row is not None
            and row.review_after is None
            and row.id == found.id
            and row.digest == str(found.digest)
            and row.media_type == found.media_type
        )

    async def put(
        self,
        name: RepositoryName,
        reference: Reference,
        media_type: str | None,
        body: bytes,
        *,
        tags: Sequence[Tag] = (),
        actor: Actor,
    ) -> PutResult:
        """Store a manifest and point tags at it, all or nothing.

        Args:
            name: The repository; it is created with its project where it is missing.
            reference: The tag to set, or the digest that the bytes must have.
            media_type: The Content-Type, if there was one.
            body: The exact bytes.
            tags: More tags to set (end-7b of the distribution specification).
            actor: Who pushes.

        Raises:
            Denied: The registry does not allow what it holds.
            DigestInvalid: The bytes have another digest than `reference`.
            InsufficientStorage: The disk is full.
            ManifestBlobUnknown: A blob or manifest that it refers to is not in the repository.
            ManifestInvalid: The bytes are no manifest that can be stored.
            ManifestTooLarge: There are too many bytes.
            NameUnknown: The project does not exist and the actor may not create it.
            QuotaExceeded: The project has no room for it.
            TagImmutable: A rule of the project keeps one of the tags where it is.
            TagInvalid: There are too many tags.
            Unsupported: The registry is read-only.
        """
        self.settings.require_writable()
        self.settings.require_room(_COPIES * len(body))
        wanted = self._tags(reference, tags)
        manifest = self._parse(reference, media_type, body)
        await self.lookup.prepare_push(name, manifest)
        push = Push(name=name, manifest=manifest, tags=wanted, actor=actor, settings=self.settings)
        standing = await self._push(push)
        self.cache.put(str(manifest.digest), body)
        self.damaged.discard(str(manifest.digest))
        subject = None if manifest.subject is None else manifest.subject.digest
        warning = None if standing is None else quota.warning(name.project, standing)
        return PutResult(digest=manifest.digest, subject=subject, tags=wanted, warning=warning)

    async def _push(self, push: Push) -> usage.Standing | None:
        """Run a push, and again when room could be made for it; what was refused holds nothing back."""
        write = partial(self.metadata.write, push.run, name="push manifest")
        try:
            return await quota.with_room(self.settings.make_room, write)
        except QuotaExceeded as refused:
            await self._release(push, refused.project)
            raise

    async def _release(self, push: Push, project_id: int) -> None:
        digests = [str(blob.digest) for _, blob in blob_references(push.manifest)]

        async def release(tx: Transaction) -> None:
            found = await blobs.find_many(tx, digests)
            await reservations.release(tx, project_id, [row.id for row in found.values()])

        await self.metadata.write(release, name="release reservations")

    async def delete(
        self, name: RepositoryName, reference: Reference, *, actor: Actor, expected: Digest | None = None
    ) -> None:
        """Delete a tag (what it points at stays), or a manifest with all tags that point at it and what is about it.

        Args:
            name: The repository.
            reference: What to delete.
            actor: Who deletes it.
            expected: What the tag names as far as the caller knows, if that matters.

        Raises:
            Denied: An index of the repository still lists the manifest.
            ManifestUnknown: There is no such tag or manifest, or the tag names something else than expected.
            TagImmutable: A rule of the project keeps the tag, or one of the manifest's.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        await self.lookup.prepare(name)
        removal = Removal(name=name, actor=actor, settings=self.settings, expected=expected)
        if isinstance(reference, Digest):
            await self.metadata.write(partial(removal.delete_manifest, reference), name="delete manifest")
        else:
            await self.metadata.write(partial(removal.delete_tag, reference), name="delete tag")

    async def content(self, digest: str) -> bytes | None:
        """Return the exact bytes of a manifest, whichever repositories have it; None when none has, or damaged ones."""
        content = self.cache.get(digest)
        return await self._read(digest) if content is None else content

    async def _read(self, digest: str) -> bytes | None:
        content = await rows.content(self.metadata, digest)
        if content is None:
            return None
        wanted = Digest.parse(digest)
        if Digest.of(content, wanted.algorithm) != wanted:
            self.damaged.add(digest)
            await self.quarantine.manifest(wanted, f"the {len(content)} bytes have another digest", by=PULL)
            return None
        self.damaged.discard(digest)
        self.cache.put(digest, content)
        return content

    async def add_tag(self, name: RepositoryName, digest: Digest, tag: Tag, *, actor: Actor) -> bool:
        """Point a new tag at a manifest that is there; False when the repository has a tag of that name.

        Raises:
            ManifestUnknown: The repository has no such manifest.
            Unsupported: The registry is read-only.
        """
        self.settings.require_writable()
        await self.lookup.prepare(name, digest)
        tagging = Tagging(name=name, digest=digest, tag=tag, actor=actor)
        return await self.metadata.write(tagging.run, name="add tag")

    def _wants_renewal(self, row: rows.ManifestRow) -> bool:
        """A second look soon after the first need not write again: half of the grace is left."""
        return row.review_after is not None and row.review_after < clock.after(self.settings.grace_seconds / 2)

    async def _renew(self, row: rows.ManifestRow) -> bool:
        """Give a queued manifest a new grace; False when it is not queued any more, or gone."""
        until = clock.after(self.settings.grace_seconds)
        renew = partial(rows.renew, manifest_id=row.id, review_after=until)
        return await self.metadata.write(renew, name="renew grace")

    async def require_movable(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Go on only if a tag could be pointed at a manifest now: before much is done that would be for nothing.

        Raises:
            TagImmutable: A rule of the project keeps it where it is.
        """
        repository = await repositories.find(self.metadata, name)
        row = None if repository is None else await rows.by_tag(self.metadata, repository.name, tag)
        if repository is not None and row is not None and row.digest != str(digest):
            await require_movable(self.settings.tag_rules, self.metadata, repository, [tag])

    async def _find(self, name: RepositoryName, reference: Reference) -> rows.ManifestRow:
        row = await self._row(name, reference)
        if row is None:
            row = await self.lookup.find(name, partial(self._row, reference=reference), reference)
        if row is None:
            raise ManifestUnknown(detail={"name": name, "reference": str(reference)})
        return row

    async def _row(self, stored_name: str, reference: Reference) -> rows.ManifestRow | None:
        if isinstance(reference, Digest):
            return await rows.by_digest(self.metadata, stored_name, str(reference))
        return await rows.by_tag(self.metadata, stored_name, reference)

    def _tags(self, reference: Reference, tags: Sequence[Tag]) -> tuple[str, ...]:
        if len(tags) > self.settings.max_tags_per_push:
            raise TagInvalid(f"At most {self.settings.max_tags_per_push} tags can be set by one push.")
        first = () if isinstance(reference, Digest) else (reference,)
        return tuple(dict.fromkeys((*first, *tags)))

    def _parse(self, reference: Reference, media_type: str | None, body: bytes) -> oci_manifest.Manifest:
        if len(body) > self.settings.max_manifest_bytes:
            raise ManifestTooLarge(
                f"The manifest has {len(body)} bytes; at most {self.settings.max_manifest_bytes} are accepted."
            )
        algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
        manifest = oci_manifest.parse(body, media_type, algorithm=algorithm)
        if isinstance(reference, Digest) and manifest.digest != reference:
            raise DigestInvalid(
                "The manifest's bytes do not have the digest in the URL.",
                detail={"expected": str(reference), "received": str(manifest.digest)},
            )
        self._check_urls(manifest)
        self._check_class(manifest)
        return manifest

    def _check_class(self, manifest: oci_manifest.Manifest) -> None:
        """Refuse content of a class that is not allowed; an index holds none of its own."""
        allowed, found = self.settings.classes, manifest.content_class
        if not allowed or manifest.kind == "index" or found in allowed:
            return
        if found is None:
            kind = manifest.referrer_artifact_type or manifest.media_type
            raise Denied(f"This registry allows {', '.join(sorted(allowed))} only, and {kind} is no class of content.")
        raise Denied(f"This registry does not allow {found} manifests; it allows {', '.join(sorted(allowed))}.")

    def _check_urls(self, manifest: oci_manifest.Manifest) -> None:
        """Clients fetch layers that may not be distributed from the URLs that a manifest names."""
        for layer in manifest.layers:
            for url in layer.urls if media_types.is_nondistributable(layer.media_type) else ():
                if not self.settings.permits_url(url):
                    raise ManifestInvalid(
                        f"The rules in validation.manifests.urls do not allow the URL of layer {layer.digest}."
                    )
