"""The review queue: things that may have lost their last reference, for the collector to look at later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam

from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import review_queue

BLOB = "blob"
MANIFEST = "manifest"

_ADD = Query(
    lambda d: d.insert(review_queue).values(
        kind=bindparam("kind"),
        subject_id=bindparam("subject_id"),
        review_after=bindparam("review_after"),
        reason=bindparam("reason"),
    ),
    "review.add",
)


async def add(tx: Transaction, kind: str, ids: Sequence[int], *, after: int, reason: str) -> None:
    """Queue blobs or manifests (by row id) to be reviewed no earlier than `after`."""
    rows: list[Mapping[str, object]] = [
        {"kind": kind, "subject_id": row_id, "review_after": after, "reason": reason} for row_id in ids
    ]
    if rows:
        await tx.many(_ADD, rows)
