"""Which bytes were found to have their digest, and when; and which are to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, union, update

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifest_blobs, manifest_contents, manifests, repositories
from entrepot.metadata.usage import usage_recount


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that was read and has the digest of its blob."""

    blob_id: int
    #: What the row said before; a row that says something else by now is of another file.
    seen: int | None
    inode: int | None
    mtime_ns: int | None
    at: int
    etag: str | None = None


_MARK = Query(
    update(blobs)
    .where(blobs.c.id == bindparam("blob_id"), blobs.c.verified_at.is_not_distinct_from(bindparam("seen")))
    .values(
        inode=bindparam("file"), mtime_ns=bindparam("touched"), etag=bindparam("object"), verified_at=bindparam("at")
    ),
    "verification.mark",
)
_DOUBT = Query(
    update(blobs)
    .where(blobs.c.id == bindparam("blob_id"), blobs.c.verified_at == bindparam("seen"))
    .values(etag=bindparam("object"), verified_at=None),
    "verification.doubt",
)
_RESIZE = Query(
    update(blobs)
    .where(
        blobs.c.id == bindparam("blob_id"), blobs.c.generation == bindparam("seen"), blobs.c.size == bindparam("was")
    )
    .values(size=bindparam("actual"), generation=blobs.c.generation + 1),
    "verification.resize",
)
_TOTALS = Query(
    select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).select_from(blobs), "verification.totals"
)
#: Found by the digest under which the file lies, or, for bytes that registry:2 stored under another one, by that.
_KNOWN_FILES = Query(
    union(
        select(blobs.c.storage_key).where(in_list(blobs.c.digest, "keys"), blobs.c.storage_key == blobs.c.digest),
        select(blobs.c.storage_key).where(in_list(blobs.c.storage_key, "keys"), blobs.c.storage_key != blobs.c.digest),
        select(manifest_contents.c.digest).where(in_list(manifest_contents.c.digest, "keys")),
    ),
    "verification.known_files",
)
_MANIFESTS = Query(
    select(manifest_contents.c.digest)
    .where(manifest_contents.c.digest > bindparam("last"))
    .order_by(manifest_contents.c.digest)
    .limit(bindparam("limit")),
    "verification.manifests",
)
_NEEDED_BY = Query(
    select(repositories.c.name, manifests.c.digest)
    .select_from(manifest_blobs)
    .join(manifests, manifests.c.id == manifest_blobs.c.manifest_id)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(manifest_blobs.c.blob_id == bindparam("blob_id"))
    .limit(bindparam("limit")),
    "verification.needed_by",
)


async def mark(tx: Transaction, verified: Sequence[Verified]) -> None:
    """Note what was verified; rows that were written since they were seen stay as they are."""
    rows = [
        {
            "blob_id": one.blob_id,
            "seen": one.seen,
            "file": one.inode,
            "touched": one.mtime_ns,
            "object": one.etag,
            "at": one.at,
        }
        for one in sorted(verified, key=lambda one: one.blob_id)
    ]
    if rows:
        await tx.many(_MARK, rows)


async def doubt(tx: Transaction, *, blob_id: int, seen: int, etag: str | None) -> None:
    """Take back that a blob was verified, as another object is there now; unless the row was written meanwhile."""
    await tx.execute(_DOUBT, blob_id=blob_id, seen=seen, object=etag)


async def resize(tx: Transaction, blob_id: int, generation: int, *, was: int, size: int) -> bool:
    """Correct the size of a blob whose bytes are right; False when the row changed since it was seen."""
    if not await tx.execute(_RESIZE, blob_id=blob_id, seen=generation, was=was, actual=size):
        return False
    await usage_recount.resized(tx, blob_id, size - was)
    return True


async def manifest_digests(reader: Reader, *, after: str, limit: int) -> list[str]:
    """Return the digests of up to `limit` manifests, those behind `after`, whichever repositories have them."""
    return [row[0] for row in await reader.all(_MANIFESTS, last=after, limit=limit)]


async def totals(reader: Reader) -> tuple[int, int]:
    """Return how many blobs there are, and their bytes."""
    row = await reader.one(_TOTALS)
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


async def known_files(reader: Reader, keys: Sequence[str]) -> set[str]:
    """Return those of the store's keys that belong to a blob or hold a manifest's bytes."""
    return {row[0] for row in await reader.all(_KNOWN_FILES, keys=list(keys))} if keys else set()


async def needed_by(reader: Reader, blob_id: int, limit: int) -> list[tuple[str, str]]:
    """Return repository and digest of some manifests that refer to a blob."""
    return [(row[0], row[1]) for row in await reader.all(_NEEDED_BY, blob_id=blob_id, limit=limit)]
