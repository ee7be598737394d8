"""Bytes that count for a project before a manifest refers to them, so that what was pushed first is not in vain.

A reservation ends when a manifest comes or is refused, when its time is over, or when the blob goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, project_blobs, project_reservations
from entrepot.metadata.usage.usage import Counts, Standing, change, find

_R = project_reservations.c
_RESERVE = Query(
    lambda d: (
        d.insert(project_reservations)
        .values(
            project_id=bindparam("project"),
            blob_id=bindparam("blob"),
            size=bindparam("size"),
            expires_at=bindparam("until"),
        )
        .on_conflict_do_nothing()
    ),
    "reservations.reserve",
)
_PROLONG = Query(
    update(project_reservations)
    .where(_R.project_id == bindparam("project"), _R.blob_id == bindparam("blob"), _R.expires_at < bindparam("until"))
    .values(expires_at=bindparam("until")),
    "reservations.prolong",
)
_IS_REFERRED_TO = Query(
    select(project_blobs.c.blob_id).where(
        project_blobs.c.project_id == bindparam("project"), project_blobs.c.blob_id == bindparam("blob")
    ),
    "reservations.is_referred_to",
)
_COUNTED = Query(
    select(blobs.c.id)
    .select_from(
        blobs.outerjoin(
            project_blobs,
            (project_blobs.c.blob_id == blobs.c.id) & (project_blobs.c.project_id == bindparam("project")),
        ).outerjoin(project_reservations, (_R.blob_id == blobs.c.id) & (_R.project_id == bindparam("project")))
    )
    .where(blobs.c.digest == bindparam("digest"), project_blobs.c.blob_id.is_not(None) | _R.blob_id.is_not(None)),
    "reservations.counted",
)
_UNRESERVE = Query(
    delete(project_reservations)
    .where(_R.project_id == bindparam("project"), in_list(_R.blob_id, "ids"))
    .returning(_R.size),
    "reservations.unreserve",
)
_LAPSE = Query(
    delete(project_reservations)
    .where(_R.project_id == bindparam("project"), _R.expires_at <= bindparam("now"))
    .returning(_R.size),
    "reservations.lapse",
)
_FORGET = Query(
    delete(project_reservations).where(in_list(_R.blob_id, "ids")).returning(_R.project_id, _R.size),
    "reservations.forget",
)


async def reserve(tx: Transaction, project_id: int, blob_id: int, size: int, *, until: int) -> Standing | None:
    """Count a blob for a project of which no manifest refers to it yet; None when it counts already.

    `until` is when it stops to count by itself, if no manifest comes.
    """
    if await tx.one(_IS_REFERRED_TO, project=project_id, blob=blob_id) is not None:
        return None
    if not await tx.execute(_RESERVE, project=project_id, blob=blob_id, size=size, until=until):
        await tx.execute(_PROLONG, project=project_id, blob=blob_id, until=until)
        return None
    return await change(tx, project_id, Counts(reserved_bytes=size))


async def release(tx: Transaction, project_id: int, blob_ids: Sequence[int]) -> None:
    """End the reservations of blobs: what was to refer to them was refused."""
    await end(tx, project_id, blob_ids, await find(tx, project_id))


async def forget(tx: Transaction, blob_ids: Sequence[int]) -> None:
    """End all reservations of blobs that go: whoever pushed them never referred to them."""
    rows = await tx.all(_FORGET, ids=list(blob_ids)) if blob_ids else []
    for project_id in sorted({row[0] for row in rows}):
        size = sum(row[1] for row in rows if row[0] == project_id)
        await change(tx, project_id, Counts(reserved_bytes=-size))


async def end(tx: Transaction, project_id: int, blob_ids: Sequence[int], standing: Standing) -> Standing:
    """End the reservations of blobs and those whose time is over; return how a project that stood so stands then."""
    if not standing.counts.reserved_bytes:
        return standing
    rows = await tx.all(_LAPSE, project=project_id, now=clock.now())
    if blob_ids:
        rows += await tx.all(_UNRESERVE, project=project_id, ids=list(blob_ids))
    size = sum(row[0] for row in rows)
    return await change(tx, project_id, Counts(reserved_bytes=-size)) if size else standing


async def counts(reader: Reader, project_id: int, digest: str) -> bool:
    """Tell whether a blob counts for a project already."""
    return await reader.one(_COUNTED, project=project_id, digest=digest) is not None
