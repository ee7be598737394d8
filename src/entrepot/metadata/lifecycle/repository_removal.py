"""Taking a repository apart, some rows at a time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, exists, select

from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_children, manifests, repositories, repository_blobs, tags

_LISTED = exists(select(1).where(manifest_children.c.child_id == manifests.c.id)).correlate(manifests)
#: The newest first: an index is younger than what it lists.
_UNLISTED = Query(
    select(manifests.c.id, manifests.c.repository_id, manifests.c.digest, manifests.c.media_type, manifests.c.size)
    .where(manifests.c.repository_id == bindparam("repository"), manifests.c.id > 0, ~_LISTED)
    .order_by(manifests.c.id.desc())
    .limit(bindparam("limit")),
    "repository_removal.unlisted",
)
_LINKS = Query(
    select(repository_blobs.c.blob_id)
    .where(repository_blobs.c.repository_id == bindparam("repository"), repository_blobs.c.blob_id > 0)
    .order_by(repository_blobs.c.blob_id)
    .limit(bindparam("limit")),
    "repository_removal.links",
)
#: What an index lists is older than it.
_OLDEST = Query(
    select(manifests.c.id, manifests.c.repository_id, manifests.c.digest, manifests.c.media_type, manifests.c.size)
    .where(manifests.c.repository_id == bindparam("repository"), manifests.c.id > 0)
    .order_by(manifests.c.id)
    .limit(bindparam("limit")),
    "repository_removal.oldest",
)
_UNTAG = Query(delete(tags).where(in_list(tags.c.manifest_id, "manifests")), "repository_removal.untag")
_UNLINK = Query(
    delete(repository_blobs).where(
        repository_blobs.c.repository_id == bindparam("repository"), in_list(repository_blobs.c.blob_id, "blobs")
    ),
    "repository_removal.unlink",
)
_HELD = Query(
    select(repository_blobs.c.blob_id).where(
        repository_blobs.c.repository_id == bindparam("repository"),
        in_list(repository_blobs.c.blob_id, "blobs"),
        repository_blobs.c.lapses_at.is_(None),
    ),
    "repository_removal.held",
)
_HAS_MANIFESTS = Query(
    select(manifests.c.id).where(manifests.c.repository_id == bindparam("repository")).limit(1),
    "repository_removal.has_manifests",
)
_REMOVE = Query(delete(repositories).where(repositories.c.id == bindparam("repository")), "repository_removal.remove")


async def unlisted(reader: Reader, repository_id: int, *, limit: int) -> list[ManifestRow]:
    """Return manifests that no index lists: of those a repository has some as long as it has any."""
    return [ManifestRow(*row) for row in await reader.all(_UNLISTED, repository=repository_id, limit=limit)]


async def oldest(reader: Reader, repository_id: int, *, limit: int) -> list[ManifestRow]:
    """Return the manifests that a repository has had longest."""
    return [ManifestRow(*row) for row in await reader.all(_OLDEST, repository=repository_id, limit=limit)]


async def untag(tx: Transaction, manifest_ids: Sequence[int]) -> None:
    """Remove all tags of manifests."""
    await tx.execute(_UNTAG, manifests=list(manifest_ids))


async def unlink(tx: Transaction, repository_id: int, blob_ids: Sequence[int]) -> None:
    """Take blobs out of a repository."""
    await tx.execute(_UNLINK, repository=repository_id, blobs=list(blob_ids))


async def links(reader: Reader, repository_id: int, *, limit: int) -> list[int]:
    """Return row ids of blobs that a repository holds."""
    return [row[0] for row in await reader.all(_LINKS, repository=repository_id, limit=limit)]


async def held(reader: Reader, repository_id: int, blob_ids: Sequence[int]) -> list[int]:
    """Return those of these blobs that a repository is not losing."""
    return [row[0] for row in await reader.all(_HELD, repository=repository_id, blobs=list(blob_ids))]


async def has_manifests(reader: Reader, repository_id: int) -> bool:
    """Tell whether a repository has a manifest."""
    return await reader.one(_HAS_MANIFESTS, repository=repository_id) is not None


async def remove(tx: Transaction, repository_id: int) -> None:
    """Remove a repository that holds nothing any more, with the history of its tags."""
    await tx.execute(_REMOVE, repository=repository_id)
