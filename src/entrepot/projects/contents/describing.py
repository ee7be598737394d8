"""From the row ids of artifacts to all that a list tells of them: each question is asked once for the whole page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from entrepot.metadata import artifact_parts as parts
from entrepot.metadata.artifact_parts import ArtifactRecord, ChildRecord, ConfigRecord
from entrepot.metadata.database import Reader
from entrepot.oci import manifest as oci_manifest
from entrepot.oci import media_type as media_types
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import Manifest
from entrepot.projects.contents import kinds
from entrepot.projects.contents.attributes import attributes
from entrepot.projects.contents.model import Accessory, Artifact, ChildReference, With
from entrepot.projects.contents.small_blobs import SmallBlobs
from entrepot.registry.manifests import Manifests

MIB: Final = 1024 * 1024
#: Bytes that are read for one page, of manifests and of configurations: beyond it, the rest of the page tells less.
_PAGE_BYTES: Final = 8 * MIB
#: An index may list indexes; nobody nests them deeper.
_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class Describing:
    """Tells of artifacts."""

    metadata: Reader
    manifests: Manifests
    blobs: SmallBlobs

    async def describe(self, ids: Sequence[int], wanted: With) -> list[Artifact]:
        """Return artifacts in the order of their row ids, without those that are gone."""
        records = await parts.records(self.metadata, ids)
        children = await parts.children(self.metadata, _indexes(records))
        sizes = await self._sizes(records, children)
        contents = await self._manifests(records)
        configs = await self._configs(records)
        tags = await parts.tags_of_all(self.metadata, ids) if wanted.tags else {}
        labels = await parts.labels_of(self.metadata, ids) if wanted.labels else {}
        accessories = await self._accessories(records) if wanted.accessories else {}
        return [
            Artifact(
                record=record,
                kind=(kind := kinds.kind_of(record.artifact_type, record.media_type)),
                media_type=_media_type(record, contents.get(record.id)),
                size=sizes[record.id],
                attributes=attributes(kind, configs.get(record.id)),
                references=_references(record, children.get(record.id, []), contents.get(record.id)),
                additions=kinds.additions_of(kind, record.media_type),
                tags=tags.get(record.id, ()),
                labels=labels.get(record.id, ()),
                accessories=accessories.get(record.id, ()),
            )
            for record in records
        ]

    async def accessories(self, subject: ArtifactRecord, *, limit: int) -> list[Accessory]:
        """Return up to `limit` manifests that refer to another one, by digest."""
        ids = await parts.accessories(self.metadata, subject.repository_id, [subject.digest], limit=limit)
        return await self._described_accessories(ids, {subject.digest: subject.id})

    async def _accessories(self, records: Sequence[ArtifactRecord]) -> Mapping[int, list[Accessory]]:
        found: defaultdict[int, list[Accessory]] = defaultdict(list)
        for repository_id in sorted({record.repository_id for record in records}):
            subjects = {record.digest: record.id for record in records if record.repository_id == repository_id}
            ids = await parts.accessories(self.metadata, repository_id, list(subjects))
            for accessory in await self._described_accessories(ids, subjects):
                found[subjects[accessory.record.subject or ""]].append(accessory)
        return found

    async def _described_accessories(self, ids: Sequence[int], subjects: Mapping[str, int]) -> list[Accessory]:
        records = await parts.records(self.metadata, ids) if ids else []
        sizes = await self._sizes(records, {})
        return [
            Accessory(
                record=record,
                kind=kinds.accessory_kind(record.artifact_type),
                size=sizes[record.id],
                subject_id=subjects.get(record.subject or ""),
            )
            for record in records
        ]

    async def _sizes(
        self, records: Sequence[ArtifactRecord], children: Mapping[int, Sequence[ChildRecord]]
    ) -> dict[int, int]:
        """Return for each artifact the bytes of its manifest and of all that it refers to, through indexes too."""
        listed = dict(children)
        level = _ids(children.values())
        for _ in range(_DEPTH - 1):
            below = await parts.children(self.metadata, level) if level else {}
            listed |= below
            level = _ids(below.values())
        ids = {record.id for record in records} | set(_ids(listed.values()))
        own = await parts.sizes(self.metadata, sorted(ids))
        blobs = await parts.blob_sizes(self.metadata, sorted(ids))

        totals: dict[int, int] = {}

        def total(row_id: int) -> int:
            if row_id not in totals:
                below = sum(total(child.id) for child in listed.get(row_id, ()) if child.id is not None)
                totals[row_id] = own.get(row_id, 0) + blobs.get(row_id, 0) + below
            return totals[row_id]

        return {record.id: total(record.id) for record in records}

    async def _manifests(self, records: Sequence[ArtifactRecord]) -> dict[int, Manifest]:
        """Read the manifests of those artifacts whose row does not say everything."""
        found: dict[int, Manifest] = {}
        for record in _within_bound([record for record in records if not kinds.is_image_config(record.artifact_type)]):
            raw = await self.manifests.content(record.digest)
            manifest = None if raw is None else _parsed(raw, record.media_type)
            if manifest is not None:
                found[record.id] = manifest
        return found

    async def _configs(self, records: Sequence[ArtifactRecord]) -> dict[int, bytes]:
        """Read the configurations of artifacts of a known kind."""
        ids = [r.id for r in records if kinds.kind_of(r.artifact_type, r.media_type) != kinds.UNKNOWN]
        known = await parts.configs(self.metadata, ids) if ids else {}
        found: dict[int, bytes] = {}
        for row_id, blob in _affordable(known):
            content = await self.blobs.read(blob)
            if content is not None:
                found[row_id] = content
        return found


def _indexes(records: Sequence[ArtifactRecord]) -> list[int]:
    return [record.id for record in records if media_types.is_index(record.media_type)]


def _ids(lists: Iterable[Sequence[ChildRecord]]) -> list[int]:
    return [child.id for children in lists for child in children if child.id is not None]


def _within_bound(records: Sequence[ArtifactRecord]) -> list[ArtifactRecord]:
    totals = accumulate(record.size for record in records)
    return [record for record, total in zip(records, totals, strict=True) if total <= _PAGE_BYTES]


def _affordable(configs: Mapping[int, ConfigRecord]) -> list[tuple[int, ConfigRecord]]:
    totals = accumulate(blob.size for blob in configs.values())
    return [entry for entry, total in zip(configs.items(), totals, strict=True) if total <= _PAGE_BYTES]


def _parsed(raw: bytes, media_type: str) -> Manifest | None:
    try:
        return oci_manifest.parse(raw, media_type)
    except ManifestInvalid:
        return None


def _media_type(record: ArtifactRecord, manifest: Manifest | None) -> str:
    if manifest is not None:
        return record.media_type if manifest.config is None else manifest.config.media_type
    return record.media_type if media_types.is_index(record.media_type) else record.artifact_type or record.media_type


def _references(
    record: ArtifactRecord, children: Sequence[ChildRecord], manifest: Manifest | None
) -> list[ChildReference]:
    entries = {} if manifest is None else {str(entry.digest): entry for entry in manifest.manifests}
    return [
        ChildReference(parent_id=record.id, child_id=child.id, digest=child.digest)
        if (entry := entries.get(child.digest)) is None
        else ChildReference(
            parent_id=record.id,
            child_id=child.id,
            digest=child.digest,
            platform=entry.platform,
            annotations=entry.annotations,
            urls=entry.urls,
        )
        for child in children
    ]
