"""Charging projects for their manifests and taking it back, in the transaction that changes them.

`project_blobs` says how many manifests of a project refer to each blob, things in the trash included.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, literal, select, update

from entrepot.metadata import reservations
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, project_blobs
from entrepot.metadata.usage import Counts, Standing, change


def _refer(d: Dialect) -> Any:
    chosen = (
        select(bindparam("project", type_=WHOLE), blobs.c.id, literal(1, WHOLE))
        .where(in_list(blobs.c.id, "ids"))
        .order_by(blobs.c.id)
    )
    return (
        d.insert(project_blobs)
        .from_select(["project_id", "blob_id", "references"], chosen)
        .on_conflict_do_update(
            index_elements=[project_blobs.c.project_id, project_blobs.c.blob_id],
            set_={"references": project_blobs.c.references + 1},
        )
        .returning(project_blobs.c.blob_id, project_blobs.c.references)
    )


_REFER = Query(_refer, "charging.refer")
_LET_GO = Query(
    update(project_blobs)
    .where(project_blobs.c.project_id == bindparam("project"), in_list(project_blobs.c.blob_id, "ids"))
    .values(references=project_blobs.c.references - 1)
    .returning(project_blobs.c.blob_id, project_blobs.c.references),
    "charging.let_go",
)
_DROP_UNUSED = Query(
    delete(project_blobs).where(
        project_blobs.c.project_id == bindparam("project"),
        in_list(project_blobs.c.blob_id, "ids"),
        project_blobs.c.references <= 0,
    ),
    "charging.drop_unused",
)
_SIZES = Query(select(blobs.c.id, blobs.c.size).where(in_list(blobs.c.id, "ids")), "charging.sizes")


async def charge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest_bytes: int = 0, manifests: int = 0
) -> Standing:
    """Count one more manifest of a project that refers to each of these blobs; return how the project stands then.

    Ends with the statement that locks the project's sums: call it last in a transaction that others wait for.

    Args:
        tx: The transaction.
        project_id: Whose manifest it is.
        blob_ids: What it refers to, each once.
        manifest_bytes: Its own size, unless it was counted before.
        manifests: 1, unless it was counted before.
    """
    rows = await tx.all(_REFER, project=project_id, ids=list(blob_ids)) if blob_ids else []
    once, full = await _sums(tx, blob_ids, {row[0] for row in rows if row[1] == 1})
    added = Counts(blob_bytes=once, full_bytes=full, manifest_bytes=manifest_bytes, manifests=manifests)
    standing = await change(tx, project_id, added)
    return await reservations.end(tx, project_id, blob_ids, standing)


async def discharge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest_bytes: int = 0, manifests: int = 0
) -> Standing:
    """Take back one `charge`."""
    rows = await tx.all(_LET_GO, project=project_id, ids=list(blob_ids)) if blob_ids else []
    gone = {row[0] for row in rows if row[1] <= 0}
    if gone:
        await tx.execute(_DROP_UNUSED, project=project_id, ids=list(gone))
    once, full = await _sums(tx, blob_ids, gone)
    taken = Counts(blob_bytes=-once, full_bytes=-full, manifest_bytes=-manifest_bytes, manifests=-manifests)
    return await change(tx, project_id, taken)


async def _sums(tx: Transaction, blob_ids: Sequence[int], chosen: Collection[int]) -> tuple[int, int]:
    """Return the bytes of the chosen ones among some blobs, and of all."""
    sizes = {row[0]: row[1] for row in await tx.all(_SIZES, ids=list(blob_ids))} if blob_ids else {}
    return sum(sizes[blob] for blob in chosen), sum(sizes.values())
