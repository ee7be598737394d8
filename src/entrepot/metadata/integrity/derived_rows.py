"""Sums and links that follow from other rows: where they do not, and putting them right.

Each statement looks at a window of row ids and sees one moment, so that pushes beside it are no mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, bindparam, delete, func, literal, select, union_all, update
from sqlalchemy.sql.elements import ColumnElement

from entrepot.metadata.contents.blobs import DELETING
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.lifecycle.review import BLOB
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_contents,
    manifests,
    project_blobs,
    projects,
    repositories,
    repository_blobs,
    review_queue,
    tags,
)
from entrepot.metadata.trash_namespaces import listed


@dataclass(frozen=True, slots=True)
class WrongCount:
    """A project whose count of manifests that use a blob is wrong."""

    project_id: int
    project: str
    blob_id: int
    digest: str
    difference: int  #: how many it should count more


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A blob that a manifest of a repository refers to and that the repository does not have."""

    repository_id: int
    repository: str
    blob_id: int
    digest: str


@dataclass(frozen=True, slots=True)
class Stray:
    """A row that stands where it should not."""

    id: int
    name: str


def _window(column: ColumnElement[int]) -> ColumnElement[bool]:
    return column.between(bindparam("first"), bindparam("last"))


def _differences() -> Select[tuple[int, int, int]]:
    """What is counted, taken from what there is; both of one moment."""
    counted = select(
        project_blobs.c.project_id, project_blobs.c.blob_id, (-project_blobs.c.references).label("n")
    ).where(_window(project_blobs.c.blob_id))
    real = (
        select(
            repositories.c.project_id,
            manifest_blobs.c.blob_id,
            func.count(manifest_blobs.c.manifest_id.distinct()).label("n"),
        )
        .join(manifests, manifests.c.id == manifest_blobs.c.manifest_id)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(_window(manifest_blobs.c.blob_id))
        .group_by(repositories.c.project_id, manifest_blobs.c.blob_id)
    )
    both = union_all(counted, real).subquery()
    total = func.sum(both.c.n)
    return (
        select(both.c.project_id, both.c.blob_id, total.label("difference"))
        .group_by(both.c.project_id, both.c.blob_id)
        .having(total != 0)
    )


_DIFFERENCES = _differences().subquery()
_COUNTS = Query(
    select(
        _DIFFERENCES.c.project_id, projects.c.name, _DIFFERENCES.c.blob_id, blobs.c.digest, _DIFFERENCES.c.difference
    )
    .join(projects, projects.c.id == _DIFFERENCES.c.project_id)
    .join(blobs, blobs.c.id == _DIFFERENCES.c.blob_id),
    "derived_rows.counts",
)
_ADD_TO_COUNT = Query(
    lambda d: (
        insert := d.insert(project_blobs).values(
            project_id=bindparam("project"), blob_id=bindparam("blob"), references=bindparam("more")
        )
    ).on_conflict_do_update(
        index_elements=[project_blobs.c.project_id, project_blobs.c.blob_id],
        set_={"references": project_blobs.c.references + insert.excluded.references},
    ),
    "derived_rows.add_to_count",
)
_DROP_EMPTY = Query(
    delete(project_blobs).where(
        project_blobs.c.project_id == bindparam("project"),
        project_blobs.c.blob_id == bindparam("blob"),
        project_blobs.c.references <= 0,
    ),
    "derived_rows.drop_empty",
)
_UNLINKED = Query(
    select(manifests.c.repository_id, repositories.c.name, manifest_blobs.c.blob_id, blobs.c.digest)
    .join(manifests, manifests.c.id == manifest_blobs.c.manifest_id)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(
        _window(manifest_blobs.c.blob_id),
        listed(repositories.c.name),
        ~select(literal(1))
        .where(
            repository_blobs.c.repository_id == manifests.c.repository_id,
            repository_blobs.c.blob_id == manifest_blobs.c.blob_id,
            repository_blobs.c.lapses_at.is_(None),
        )
        .exists(),
    )
    .distinct(),
    "derived_rows.unlinked",
)
_MISPLACED = Query(
    select(manifest_blobs.c.manifest_id, manifests.c.digest)
    .join(manifests, manifests.c.id == manifest_blobs.c.manifest_id)
    .where(_window(manifest_blobs.c.blob_id), manifest_blobs.c.repository_id != manifests.c.repository_id)
    .distinct(),
    "derived_rows.misplaced",
)
_PLACE = Query(
    update(manifest_blobs)
    .where(in_list(manifest_blobs.c.manifest_id, "ids"))
    .values(
        repository_id=select(manifests.c.repository_id)
        .where(manifests.c.id == manifest_blobs.c.manifest_id)
        .scalar_subquery()
    ),
    "derived_rows.place",
)
_UNREFERENCED = Query(
    select(blobs.c.id, blobs.c.digest).where(
        _window(blobs.c.id),
        blobs.c.state != DELETING,
        ~select(literal(1)).where(manifest_blobs.c.blob_id == blobs.c.id).exists(),
    ),
    "derived_rows.unreferenced",
)
_QUEUED = Query(
    select(review_queue.c.subject_id).where(review_queue.c.kind == BLOB, _window(review_queue.c.subject_id)),
    "derived_rows.queued",
)
_ASTRAY = Query(
    select(tags.c.id, repositories.c.name + ":" + tags.c.name)
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .join(manifests, manifests.c.id == tags.c.manifest_id)
    .where(_window(tags.c.id), manifests.c.repository_id != tags.c.repository_id),
    "derived_rows.astray",
)
_UNUSED = Query(
    select(manifest_contents.c.digest).where(
        in_list(manifest_contents.c.digest, "digests"),
        ~select(literal(1)).where(manifests.c.digest == manifest_contents.c.digest).exists(),
    ),
    "derived_rows.unused",
)
_LAST_BLOB = Query(select(func.max(blobs.c.id)), "derived_rows.last_blob")
_LAST_TAG = Query(select(func.max(tags.c.id)), "derived_rows.last_tag")


async def last_ids(reader: Reader) -> tuple[int, int]:
    """Return the highest row ids of blobs and of tags."""
    blob, tag = await reader.one(_LAST_BLOB), await reader.one(_LAST_TAG)
    return (blob[0] or 0 if blob else 0, tag[0] or 0 if tag else 0)


async def wrong_counts(reader: Reader, first: int, last: int) -> list[WrongCount]:
    """Return the projects that count wrongly how many of their manifests use a blob of this window."""
    return [WrongCount(*row) for row in await reader.all(_COUNTS, first=first, last=last)]


async def correct(tx: Transaction, wrong: Sequence[WrongCount]) -> None:
    """Put counts right."""
    for count in wrong:
        await tx.execute(_ADD_TO_COUNT, project=count.project_id, blob=count.blob_id, more=count.difference)
        await tx.execute(_DROP_EMPTY, project=count.project_id, blob=count.blob_id)


async def unlinked(reader: Reader, first: int, last: int) -> list[Unlinked]:
    """Return the blobs of this window that repositories lack whose manifests refer to them."""
    return [Unlinked(*row) for row in await reader.all(_UNLINKED, first=first, last=last)]


async def misplaced(reader: Reader, first: int, last: int) -> list[Stray]:
    """Return the manifests whose references to blobs of this window say that they are in another repository."""
    return [Stray(*row) for row in await reader.all(_MISPLACED, first=first, last=last)]


async def place(tx: Transaction, manifest_ids: Sequence[int]) -> None:
    """Let the references of manifests say which repository they are in."""
    await tx.execute(_PLACE, ids=list(manifest_ids))


async def unreviewed(reader: Reader, first: int, last: int) -> list[Stray]:
    """Return the blobs of this window that nothing refers to and that wait for no review, so that they would stay."""
    found = await reader.all(_UNREFERENCED, first=first, last=last)
    if not found:
        return []
    queued = {row[0] for row in await reader.all(_QUEUED, first=first, last=last)}
    left = {row[0] for row in found} - queued
    # Asked again: what a collection or a push took out of the queue in between is gone by now, or referred to.
    again = await reader.all(_UNREFERENCED, first=first, last=last) if left else []
    return [Stray(*row) for row in again if row[0] in left]


async def tags_astray(reader: Reader, first: int, last: int) -> list[Stray]:
    """Return the tags of this window that name a manifest of another repository."""
    return [Stray(*row) for row in await reader.all(_ASTRAY, first=first, last=last)]


async def unused_contents(reader: Reader, digests: Sequence[str]) -> list[str]:
    """Return those of `digests` whose bytes are kept and belong to no manifest."""
    return [row[0] for row in await reader.all(_UNUSED, digests=list(digests))] if digests else []
