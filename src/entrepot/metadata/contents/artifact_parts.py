"""What there is to tell of artifacts: each question is asked once for all that a page shows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, func, select

from entrepot.metadata.contents.labels import COLUMNS as LABEL_COLUMNS
from entrepot.metadata.contents.labels import LabelRecord
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query, first_of_each, in_list
from entrepot.metadata.tables import (
    blobs,
    labels,
    manifest_blobs,
    manifest_children,
    manifest_labels,
    manifest_pulls,
    manifests,
    repositories,
    tags,
)
from entrepot.oci.referrers import accessory_tags, subject_of_tag

#: Tags that a page of artifacts shows at most, and accessories, each artifact as many as any other; the lists of one
#: artifact show all, page by page. Entries of indexes: an index may have 10,000 of them.
MOST_TAGS: Final = 10_000
MOST_CHILDREN: Final = 20_000
MOST_ACCESSORIES: Final = 1_000
MOST_LABELS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A manifest with its place and its pulls; its annotations, which may be all of it, are asked for apart."""

    id: int
    project_id: int
    repository_id: int
    repository: str
    digest: str
    media_type: str
    artifact_type: str | None
    size: int  #: of the manifest alone
    subject: str | None
    created_at: int  #: its latest push
    pull_count: int
    pulled_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRecord:
    """A tag of an artifact."""

    id: int
    repository_id: int
    manifest_id: int
    name: str
    created_at: int
    updated_at: int  #: since when it names this manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRecord:
    """Where an artifact's configuration lies."""

    digest: str
    key: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """An entry of an index; `id` is empty while the repository does not have it."""

    digest: str
    id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessoryRow:
    """A manifest that is about another one."""

    id: int
    subject: str  #: the other one's digest
    tag: str = ""  #: that says so, where no subject does


_M = manifests.c
_RECORDS = Query(
    select(
        _M.id,
        repositories.c.project_id,
        _M.repository_id,
        repositories.c.name,
        _M.digest,
        _M.media_type,
        _M.artifact_type,
        _M.size,
        _M.subject,
        _M.created_at,
        func.coalesce(manifest_pulls.c.count, 0),
        manifest_pulls.c.last_at,
    )
    .select_from(
        manifests.join(repositories, repositories.c.id == _M.repository_id).outerjoin(
            manifest_pulls, manifest_pulls.c.manifest_id == _M.id
        )
    )
    .where(in_list(_M.id, "ids")),
    "artifact_parts.records",
)
_ANNOTATIONS = Query(
    select(_M.id, _M.annotations).where(in_list(_M.id, "ids"), _M.annotations.is_not(None)),
    "artifact_parts.annotations",
)
_BLOB_SIZES = Query(
    select(manifest_blobs.c.manifest_id, func.sum(blobs.c.size))
    .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(in_list(manifest_blobs.c.manifest_id, "ids"))
    .group_by(manifest_blobs.c.manifest_id),
    "artifact_parts.blob_sizes",
)
_CHILDREN = Query(
    select(manifest_children.c.parent_id, manifest_children.c.digest, manifest_children.c.child_id)
    .where(in_list(manifest_children.c.parent_id, "ids"))
    .order_by(manifest_children.c.parent_id, manifest_children.c.position)
    .limit(bindparam("limit")),
    "artifact_parts.children",
)
_SIZES = Query(select(_M.id, _M.size).where(in_list(_M.id, "ids")), "artifact_parts.sizes")
_CONFIGS = Query(
    select(manifest_blobs.c.manifest_id, blobs.c.digest, blobs.c.storage_key, blobs.c.size)
    .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(in_list(manifest_blobs.c.manifest_id, "ids"), manifest_blobs.c.role == "config"),
    "artifact_parts.configs",
)


def _tags() -> Select[Any]:
    return select(
        tags.c.id, tags.c.repository_id, tags.c.manifest_id, tags.c.name, tags.c.created_at, tags.c.updated_at
    )


def _tags_of_each(dialect: Dialect) -> Select[Any]:
    def newest(one: Any, manifest: ColumnElement[int]) -> Select[Any]:
        found = select(one.id).where(one.manifest_id == manifest)
        return found.order_by(one.id.desc()).limit(bindparam("each"))

    return _tags().select_from(first_of_each(dialect, "ids", tags.c.manifest_id, newest)).order_by(tags.c.id.desc())


_TAGS = Query(_tags_of_each, "artifact_parts.tags")
#: By what the tags of one artifact are filtered and sorted.
TAG_FIELDS: Final = {
    "name": Field(column=tags.c.name),
    "id": Field(column=tags.c.id, kind=Kind.NUMBER),
    "push_time": Field(column=tags.c.updated_at, kind=Kind.TIME),
}
TAGS_OF: Final = Listing(
    "artifact_parts.tags_of",
    _tags().where(tags.c.manifest_id == bindparam("manifest")),
    TAG_FIELDS,
    order=(Order("id", descending=True),),
    key=tags.c.id,
)
_LABELS = Query(
    select(manifest_labels.c.manifest_id, *LABEL_COLUMNS)
    .join(labels, labels.c.id == manifest_labels.c.label_id)
    .where(in_list(manifest_labels.c.manifest_id, "ids"))
    .order_by(labels.c.name, labels.c.id)
    .limit(bindparam("limit")),
    "artifact_parts.labels",
)


def _referring_to_each(dialect: Dialect) -> Select[Any]:
    def of_subject(one: Any, subject: ColumnElement[str]) -> Select[Any]:
        found = select(one.id).where(one.repository_id == bindparam("repository"), one.subject == subject)
        return found.order_by(one.digest).limit(bindparam("each"))

    found = select(_M.id, _M.subject).select_from(first_of_each(dialect, "subjects", _M.subject, of_subject))
    return found.order_by(_M.subject, _M.digest)


_REFERRING = Query(_referring_to_each, "artifact_parts.referring")
_TAGGED_BESIDE = Query(
    select(tags.c.manifest_id, tags.c.name)
    .where(tags.c.repository_id == bindparam("repository"), in_list(tags.c.name, "names"))
    .order_by(tags.c.name),
    "artifact_parts.tagged_beside",
)


async def records(reader: Reader, ids: Sequence[int]) -> list[ArtifactRecord]:
    """Return manifests in the order of `ids`, without those that are gone."""
    found = {row[0]: _record(row) for row in await reader.all(_RECORDS, ids=ids)}
    return [found[row_id] for row_id in ids if row_id in found]


async def annotations_of(reader: Reader, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the annotations of those manifests that have some: as many bytes as the manifests have."""
    return {row[0]: json.loads(row[1]) for row in await reader.all(_ANNOTATIONS, ids=ids)}


async def blob_sizes(reader: Reader, ids: Sequence[int]) -> dict[int, int]:
    """Return for each manifest how many bytes all it refers to has; a blob named twice counts twice."""
    return {row[0]: int(row[1]) for row in await reader.all(_BLOB_SIZES, ids=ids)}


async def sizes(reader: Reader, ids: Sequence[int]) -> dict[int, int]:
    """Return how many bytes each manifest itself has."""
    return {row[0]: row[1] for row in await reader.all(_SIZES, ids=ids)}


async def children(reader: Reader, ids: Sequence[int]) -> dict[int, list[ChildRecord]]:
    """Return for each index what it lists, in its order, up to `MOST_CHILDREN` in all."""
    found: defaultdict[int, list[ChildRecord]] = defaultdict(list)
    for parent, digest, child in await reader.all(_CHILDREN, ids=ids, limit=MOST_CHILDREN):
        found[parent].append(ChildRecord(digest=digest, id=child))
    return found


async def configs(reader: Reader, ids: Sequence[int]) -> dict[int, ConfigRecord]:
    """Return for each manifest that has one where its configuration lies."""
    rows = await reader.all(_CONFIGS, ids=ids)
    return {row[0]: ConfigRecord(digest=row[1], key=row[2], size=row[3]) for row in rows}


async def tags_of_all(reader: Reader, ids: Sequence[int], *, each: int) -> dict[int, list[TagRecord]]:
    """Return for each manifest up to `each` of its tags, the newest first."""
    found: defaultdict[int, list[TagRecord]] = defaultdict(list)
    for row in await reader.all(_TAGS, ids=ids, each=each):
        tag = _tag(row)
        found[tag.manifest_id].append(tag)
    return found


async def tags_of(reader: Reader, manifest_id: int, selection: Selection) -> Listed[TagRecord]:
    """Return a page of a manifest's tags, the newest first unless another order is asked for."""
    return (await TAGS_OF.read(reader, selection, manifest=manifest_id)).map(_tag)


async def labels_of(reader: Reader, ids: Sequence[int]) -> dict[int, list[LabelRecord]]:
    """Return for each manifest the labels on it, by name, up to `MOST_LABELS` in all."""
    found: defaultdict[int, list[LabelRecord]] = defaultdict(list)
    for row in await reader.all(_LABELS, ids=ids, limit=MOST_LABELS):
        found[row[0]].append(LabelRecord(*row[1:]))
    return found


async def accessories(reader: Reader, repository_id: int, subjects: Sequence[str], *, each: int) -> list[AccessoryRow]:
    """Return manifests of a repository that are about these digests: by one of a few tags, and by subject.

    Of the latter, up to `each` of each.
    """
    names = [name for subject in subjects for name in accessory_tags(subject)]
    tagged = await reader.all(_TAGGED_BESIDE, repository=repository_id, names=names)
    referring = await reader.all(_REFERRING, repository=repository_id, subjects=subjects, each=each)
    found = {(row[0], subject_of_tag(row[1]) or ""): row[1] for row in tagged}
    found |= {(row[0], row[1]): "" for row in referring}
    return [AccessoryRow(id=row_id, subject=subject, tag=tag) for (row_id, subject), tag in found.items()]


def _record(row: Row) -> ArtifactRecord:
    return ArtifactRecord(
        id=row[0],
        project_id=row[1],
        repository_id=row[2],
        repository=row[3],
        digest=row[4],
        media_type=row[5],
        artifact_type=row[6],
        size=row[7],
        subject=row[8],
        created_at=row[9],
        pull_count=int(row[10]),
        pulled_at=row[11],
    )


def _tag(row: Row) -> TagRecord:
    return TagRecord(
        id=row[0], repository_id=row[1], manifest_id=row[2], name=row[3], created_at=row[4], updated_at=row[5]
    )
