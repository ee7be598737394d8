"""What holds a blob or a manifest: whatever a collection would look at, for people who wonder why it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select

from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_blobs, manifest_children, manifests, repositories, tags, trash


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A manifest in a repository; `repository` may be a shadow of the trash."""

    id: int
    repository_id: int
    repository: str
    digest: str
    subject: str | None
    review_after: int | None
    role: str | None = None  #: of the blob that was asked about


_M = manifests.c
_PARENT: Final = manifests.alias("parent")
_COLUMNS = (_M.id, _M.repository_id, repositories.c.name, _M.digest, _M.subject, _M.review_after)
_OF_BLOB = Query(
    select(*_COLUMNS, manifest_blobs.c.role)
    .select_from(manifest_blobs)
    .join(manifests, _M.id == manifest_blobs.c.manifest_id)
    .join(repositories, repositories.c.id == _M.repository_id)
    .where(manifest_blobs.c.blob_id == bindparam("blob_id"))
    .limit(bindparam("limit")),
    "blob_references.of_blob",
)
_OF_DIGEST = Query(
    select(*_COLUMNS)
    .select_from(manifests)
    .join(repositories, repositories.c.id == _M.repository_id)
    .where(_M.digest == bindparam("digest"))
    .limit(bindparam("limit")),
    "blob_references.of_digest",
)
_TAGS = Query(
    select(tags.c.manifest_id, tags.c.name).where(in_list(tags.c.manifest_id, "ids")).limit(bindparam("limit")),
    "blob_references.tags",
)
_LISTED_BY = Query(
    select(manifest_children.c.child_id, _PARENT.c.digest)
    .join(_PARENT, _PARENT.c.id == manifest_children.c.parent_id)
    .where(in_list(manifest_children.c.child_id, "ids"))
    .limit(bindparam("limit")),
    "blob_references.listed_by",
)
_IN_TRASH = Query(
    select(trash.c.digest, trash.c.repository, trash.c.expires_at).where(
        trash.c.place_id == bindparam("place_id"), trash.c.digest == bindparam("digest")
    ),
    "blob_references.in_trash",
)


def _place(row: Sequence[Any]) -> Place:
    return Place(
        id=row[0],
        repository_id=row[1],
        repository=row[2],
        digest=row[3],
        subject=row[4],
        review_after=row[5],
        role=row[6] if len(row) > len(_COLUMNS) else None,
    )


async def of_blob(reader: Reader, blob_id: int, *, limit: int) -> list[Place]:
    """Return manifests that need a blob, wherever they are."""
    return [_place(row) for row in await reader.all(_OF_BLOB, blob_id=blob_id, limit=limit)]


async def of_digest(reader: Reader, digest: str, *, limit: int) -> list[Place]:
    """Return the manifests of a digest, wherever they are."""
    return [_place(row) for row in await reader.all(_OF_DIGEST, digest=digest, limit=limit)]


async def tags_of(reader: Reader, ids: Sequence[int], *, limit: int) -> dict[int, list[str]]:
    """Return tags of manifests, by the manifests' row ids."""
    return _grouped(await reader.all(_TAGS, ids=list(ids), limit=limit))


async def listed_by(reader: Reader, ids: Sequence[int], *, limit: int) -> dict[int, list[str]]:
    """Return digests of indexes that list manifests, by the manifests' row ids."""
    return _grouped(await reader.all(_LISTED_BY, ids=list(ids), limit=limit))


async def in_trash(reader: Reader, place_id: int, digest: str) -> tuple[str, int] | None:
    """Return of a manifest in a shadow which repository it was deleted from, and until when the trash keeps it."""
    rows = await reader.all(_IN_TRASH, place_id=place_id, digest=digest)
    latest = max(rows, key=lambda row: int(row[2]), default=None)
    return None if latest is None else (str(latest[1]), int(latest[2]))


def _grouped(rows: Sequence[Sequence[Any]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row_id, name in rows:
        found.setdefault(row_id, []).append(name)
    return {row_id: sorted(names) for row_id, names in found.items()}
