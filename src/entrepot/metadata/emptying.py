"""Taking a repository apart, some rows at a time."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, exists, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, manifest_children, manifests, repositories, repository_blobs

_LISTED = exists(select(1).where(manifest_children.c.child_id == manifests.c.id)).correlate(manifests)
#: The newest first: an index is younger than what it lists.
_UNLISTED = Query(
    select(manifests.c.digest)
    .where(manifests.c.repository_id == bindparam("repository"), manifests.c.id > 0, ~_LISTED)
    .order_by(manifests.c.id.desc())
    .limit(bindparam("limit")),
    "emptying.unlisted",
)
_LINKS = Query(
    select(blobs.c.id, blobs.c.digest)
    .select_from(repository_blobs.join(blobs, blobs.c.id == repository_blobs.c.blob_id))
    .where(repository_blobs.c.repository_id == bindparam("repository"), repository_blobs.c.blob_id > 0)
    .order_by(repository_blobs.c.blob_id)
    .limit(bindparam("limit")),
    "emptying.links",
)
_LOCK = Query(
    select(repositories.c.id).where(repositories.c.id == bindparam("repository")).with_for_update(), "emptying.lock"
)
_REMOVE = Query(delete(repositories).where(repositories.c.id == bindparam("repository")), "emptying.remove")


async def unlisted(reader: Reader, repository_id: int, *, limit: int) -> list[str]:
    """Return digests of manifests that no index lists: of those a repository has some as long as it has any."""
    return [row[0] for row in await reader.all(_UNLISTED, repository=repository_id, limit=limit)]


async def links(reader: Reader, repository_id: int, *, limit: int) -> list[tuple[int, str]]:
    """Return row ids and digests of blobs that a repository holds."""
    return [(row[0], row[1]) for row in await reader.all(_LINKS, repository=repository_id, limit=limit)]


async def lock(tx: Transaction, repository_id: int) -> bool:
    """Keep others from putting anything into a repository until the transaction ends; False when it is gone."""
    return await tx.one(_LOCK, repository=repository_id) is not None


async def remove(tx: Transaction, repository_id: int) -> None:
    """Remove a repository that holds nothing any more, with the history of its tags."""
    await tx.execute(_REMOVE, repository=repository_id)
