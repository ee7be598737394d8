"""From the row ids of artifacts to all that a list tells of them: each question is asked once for the whole page.

A manifest may consist of annotations, and its configuration be as large as one that is read at all. So sizes are asked
first; where a page's manifests and configurations have more than `_PAGE_BYTES` together, the later ones tell what their
rows say and that this is not all. An artifact that is asked for alone tells everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.metadata.contents import artifact_parts as parts
from entrepot.metadata.contents.artifact_parts import AccessoryRow, ArtifactRecord, ChildRecord, ConfigRecord, TagRecord
from entrepot.metadata.contents.labels import LabelRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.oci import manifest as oci_manifest
from entrepot.oci import media_type as media_types
from entrepot.oci.descriptor import Descriptor
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import Manifest
from entrepot.projects.contents import kinds
from entrepot.projects.contents.attributes import attributes
from entrepot.projects.contents.model import Accessory, Artifact, ChildReference, With
from entrepot.projects.contents.small_blobs import LARGEST, SmallBlobs
from entrepot.registry.manifests import Manifests
from entrepot.registry.ports import TagRules

MIB: Final = 1024 * 1024
#: Bytes of the manifests and configurations that one page repeats: as much as one manifest may have.
_PAGE_BYTES: Final = 4 * MIB
#: A number of a configuration may be written four times as long as it came: 1e15.
_CONFIG_WEIGHT: Final = 4
#: Characters of labels on one page, whose descriptions are long where somebody wants them to be.
_LABEL_CHARACTERS: Final = MIB // 2
#: An index may list indexes; nobody nests them deeper.
_DEPTH: Final = 3


#: What lists can be sorted by, beside the size; times that never were come first.
ORDERS: Final[Mapping[str, Callable[[ArtifactRecord], str | int]]] = {
    "id": lambda record: record.id,
    "digest": lambda record: record.digest,
    "type": lambda record: kinds.kind_of(record.artifact_type, record.media_type),
    "media_type": lambda record: record.artifact_type or record.media_type,
    "artifact_type": lambda record: record.artifact_type or "",
    "manifest_media_type": lambda record: record.media_type,
    "repository_name": lambda record: record.repository,
    "push_time": lambda record: record.created_at,
    "pull_time": lambda record: record.pulled_at or 0,
}


@dataclass(frozen=True, slots=True)
class Describing:
    """Tells of artifacts."""

    metadata: Reader
    manifests: Manifests
    blobs: SmallBlobs
    rules: TagRules

    async def describe(self, ids: Sequence[int], wanted: With) -> list[Artifact]:
        """Return artifacts in the order of their row ids, without those that are gone."""
        records = await parts.records(self.metadata, ids)
        children = await parts.children(self.metadata, _indexes(records))
        sizes = await _sizes(self.metadata, records, children)
        known = await self._known_configs(records)
        whole = {record.id for record in _within_bound(records, known)}
        annotations = await parts.annotations_of(self.metadata, sorted(whole)) if whole else {}
        contents = await self._manifests([record for record in records if record.id in whole])
        configs = await self._configs({row_id: blob for row_id, blob in known.items() if row_id in whole})
        tags = await parts.tags_of_all(self.metadata, ids, each=_share(parts.MOST_TAGS, ids)) if wanted.tags else {}
        labels = await parts.labels_of(self.metadata, ids) if wanted.labels else {}
        shown_labels = _affordable(labels)
        accessories = await self._accessories(records) if wanted.accessories else {}
        immutable = await self.immutable(records, tags)
        fewer_labels = _count(labels) >= parts.MOST_LABELS or _count(shown_labels) < _count(labels)
        return [
            Artifact(
                record=record,
                kind=(kind := kinds.kind_of(record.artifact_type, record.media_type)),
                media_type=_media_type(record, contents.get(record.id)),
                size=sizes[record.id],
                annotations=annotations.get(record.id, {}),
                attributes=attributes(kind, configs.get(record.id)),
                references=_references(record, children.get(record.id, []), contents.get(record.id)),
                additions=kinds.additions_of(kind, record.media_type),
                tags=tags.get(record.id, ()),
                immutable=immutable,
                labels=shown_labels.get(record.id, ()),
                accessories=accessories.get(record.id, ()),
                truncated=fewer_labels
                or record.id not in whole
                or len(tags.get(record.id, ())) >= _share(parts.MOST_TAGS, ids)
                or len(accessories.get(record.id, ())) >= _share(parts.MOST_ACCESSORIES, ids),
            )
            for record in records
        ]

    async def keys(self, ids: Sequence[int], fields: Sequence[str]) -> dict[int, tuple[str | int, ...]]:
        """Return what artifacts are sorted by, one value for each of some fields of `ORDERS`."""
        reader = patient(self.metadata)
        records = await parts.records(reader, ids) if ids else []
        sizes: Mapping[int, int] = {}
        if "size" in fields:
            sizes = await _sizes(reader, records, await parts.children(reader, _indexes(records)))
        return {
            record.id: tuple(sizes[record.id] if field == "size" else ORDERS[field](record) for field in fields)
            for record in records
        }

    async def immutable(
        self, records: Sequence[ArtifactRecord], tags: Mapping[int, Sequence[TagRecord]]
    ) -> frozenset[int]:
        """Return the ids of those tags of artifacts that a rule keeps where they are: one statement a repository."""
        tagged = {record.repository_id: record for record in records if tags.get(record.id)}
        rules = {
            row_id: await self.rules.of(
                self.metadata, RepositoryRecord(row_id, record.project_id, record.repository, adopted=False)
            )
            for row_id, record in tagged.items()
        }
        return frozenset(
            tag.id
            for found in tags.values()
            for tag in found
            if (rule_of := rules.get(tag.repository_id)) is not None and rule_of(tag.name) is not None
        )

    async def accessories(self, subject: ArtifactRecord, *, limit: int) -> list[Accessory]:
        """Return manifests, up to `limit` by their subject, that are about another one."""
        found = await parts.accessories(self.metadata, subject.repository_id, [subject.digest], each=limit)
        return await self._described_accessories(found, {subject.digest: subject.id})

    async def _accessories(self, records: Sequence[ArtifactRecord]) -> Mapping[int, list[Accessory]]:
        found: defaultdict[int, list[Accessory]] = defaultdict(list)
        for repository_id in sorted({record.repository_id for record in records}):
            subjects = {record.digest: record.id for record in records if record.repository_id == repository_id}
            each = _share(parts.MOST_ACCESSORIES, records)
            rows = await parts.accessories(self.metadata, repository_id, list(subjects), each=each)
            for accessory in await self._described_accessories(rows, subjects):
                found[accessory.subject_id].append(accessory)
        return found

    async def _described_accessories(
        self, rows: Sequence[AccessoryRow], subjects: Mapping[str, int]
    ) -> list[Accessory]:
        found = await parts.records(self.metadata, [row.id for row in rows]) if rows else []
        records = {record.id: record for record in found}
        sizes = await _sizes(self.metadata, found, {})
        return [
            Accessory(
                record=records[row.id],
                kind=kinds.accessory_kind(records[row.id].artifact_type, row.tag),
                size=sizes[row.id],
                subject=row.subject,
                subject_id=subjects[row.subject],
            )
            for row in rows
            if row.id in records
        ]

    async def _manifests(self, records: Sequence[ArtifactRecord]) -> dict[int, Manifest]:
        """Read the manifests of those artifacts whose row does not say everything."""
        found: dict[int, Manifest] = {}
        for record in records:
            if kinds.is_image_config(record.artifact_type):
                continue
            raw = await self.manifests.content(record.digest)
            manifest = None if raw is None else _parsed(raw, record.media_type)
            if manifest is not None:
                found[record.id] = manifest
        return found

    async def _known_configs(self, records: Sequence[ArtifactRecord]) -> dict[int, ConfigRecord]:
        """Return the configurations of artifacts of a known kind, if it can be looked into."""
        ids = [r.id for r in records if kinds.kind_of(r.artifact_type, r.media_type) != kinds.UNKNOWN]
        known = await parts.configs(self.metadata, ids) if ids else {}
        return {row_id: blob for row_id, blob in known.items() if blob.size <= LARGEST}

    async def _configs(self, known: Mapping[int, ConfigRecord]) -> dict[int, bytes]:
        found = {row_id: await self.blobs.read(blob) for row_id, blob in known.items()}
        return {row_id: content for row_id, content in found.items() if content is not None}


async def _sizes(
    reader: Reader, records: Sequence[ArtifactRecord], children: Mapping[int, Sequence[ChildRecord]]
) -> dict[int, int]:
    """Return for each artifact the bytes of its manifest and of all that it refers to, through indexes too."""
    listed = dict(children)
    level = _ids(children.values())
    for _ in range(_DEPTH - 1):
        below = await parts.children(reader, level) if level else {}
        listed |= below
        level = _ids(below.values())
    ids = {record.id for record in records} | set(_ids(listed.values()))
    own = await parts.sizes(reader, sorted(ids))
    blobs = await parts.blob_sizes(reader, sorted(ids))

    totals: dict[int, int] = {}

    def total(row_id: int) -> int:
        if row_id not in totals:
            below = sum(total(child.id) for child in listed.get(row_id, ()) if child.id is not None)
            totals[row_id] = own.get(row_id, 0) + blobs.get(row_id, 0) + below
        return totals[row_id]

    return {record.id: total(record.id) for record in records}


def _indexes(records: Sequence[ArtifactRecord]) -> list[int]:
    return [record.id for record in records if media_types.is_index(record.media_type)]


def _ids(lists: Iterable[Sequence[ChildRecord]]) -> list[int]:
    return [child.id for children in lists for child in children if child.id is not None]


def _within_bound(records: Sequence[ArtifactRecord], configs: Mapping[int, ConfigRecord]) -> Iterator[ArtifactRecord]:
    """Give the records that a page has room for, and the first in any case; a small one after a large one, too."""
    room = _PAGE_BYTES
    for number, record in enumerate(records):
        config = configs.get(record.id)
        cost = record.size + (0 if config is None else _CONFIG_WEIGHT * config.size)
        if cost <= room or number == 0:
            room = max(room - cost, 0)
            yield record


def _affordable(labels: Mapping[int, Sequence[LabelRecord]]) -> dict[int, list[LabelRecord]]:
    room = _LABEL_CHARACTERS
    found: dict[int, list[LabelRecord]] = {}
    for row_id, each in labels.items():
        found[row_id] = []
        for label in each:
            room -= len(label.name) + len(label.description)
            if room >= 0:
                found[row_id].append(label)
    return found


def _count(found: Mapping[int, Sequence[object]]) -> int:
    return sum(map(len, found.values()))


def _share(most: int, artifacts: Sequence[object]) -> int:
    """Return how many of a page's tags or accessories are one artifact's."""
    return most // max(len(artifacts), 1)


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
    """Pair what an index lists with what it says of it; an entry that comes twice says each of its words once."""
    said: defaultdict[str, list[Descriptor]] = defaultdict(list)
    for entry in reversed(() if manifest is None else manifest.manifests):
        said[str(entry.digest)].append(entry)
    return [
        ChildReference(parent_id=record.id, child_id=child.id, digest=child.digest)
        if not said[child.digest]
        else ChildReference(
            parent_id=record.id,
            child_id=child.id,
            digest=child.digest,
            platform=(entry := said[child.digest].pop()).platform,
            annotations=entry.annotations,
            urls=entry.urls,
        )
        for child in children
    ]
