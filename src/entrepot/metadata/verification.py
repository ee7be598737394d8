"""Which bytes were found to have their digest, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, update

from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that was read and has the digest of its blob."""

    blob_id: int
    #: What the row said before; a row that says something else by now is of another file.
    seen: int | None
    inode: int | None
    mtime_ns: int | None
    at: int


_MARK = Query(
    update(blobs)
    .where(blobs.c.id == bindparam("blob_id"), blobs.c.verified_at.is_not_distinct_from(bindparam("seen")))
    .values(inode=bindparam("file"), mtime_ns=bindparam("touched"), verified_at=bindparam("at")),
    "verification.mark",
)


async def mark(tx: Transaction, verified: Sequence[Verified]) -> None:
    """Note what was verified; rows that were written since they were seen stay as they are."""
    rows = [
        {"blob_id": one.blob_id, "seen": one.seen, "file": one.inode, "touched": one.mtime_ns, "at": one.at}
        for one in sorted(verified, key=lambda one: one.blob_id)
    ]
    if rows:
        await tx.many(_MARK, rows)
