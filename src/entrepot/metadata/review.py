"""The review queue: things that may have lost their last reference, for the collector to look at later."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table, bindparam, cast, literal, select

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifests, review_queue

BLOB = "blob"
MANIFEST = "manifest"
#: A file of the store that may have no row at all.
FILE = "file"


def _add_rows(kind: str, table: Table) -> Query:
    """Queue rows of a table, however many, by one statement."""
    rows = select(
        literal(kind, TEXT),
        table.c.id,
        cast(bindparam("after"), WHOLE),
        cast(bindparam("reason"), TEXT),
    ).where(in_list(table.c.id, "ids"))
    columns = ["kind", "subject_id", "review_after", "reason"]
    return Query(lambda d: d.insert(review_queue).from_select(columns, rows), f"review.add_{kind}s")


_ADD = {BLOB: _add_rows(BLOB, blobs), MANIFEST: _add_rows(MANIFEST, manifests)}
_ADD_FILE = Query(
    lambda d: d.insert(review_queue).values(
        kind=FILE,
        subject_id=0,
        review_after=bindparam("review_after"),
        reason=bindparam("reason"),
        digest=bindparam("digest"),
    ),
    "review.add_file",
)


async def add(tx: Transaction, kind: str, ids: Sequence[int], *, after: int, reason: str) -> None:
    """Queue blobs or manifests (by row id) to be reviewed no earlier than `after`."""
    if ids:
        await tx.execute(_ADD[kind], ids=list(ids), after=after, reason=reason)


async def add_files(tx: Transaction, digests: Sequence[str], *, after: int, reason: str) -> None:
    """Queue files of the store to be reviewed no earlier than `after`."""
    if digests:
        rows = [{"digest": digest, "review_after": after, "reason": reason} for digest in digests]
        await tx.many(_ADD_FILE, rows)
