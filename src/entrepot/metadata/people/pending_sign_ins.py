"""People whom a provider vouched for and who have not chosen a name here yet, by the hash of their ticket."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import strangers

_ADD = Query(
    lambda d: d.insert(strangers).values(
        ticket_hash=bindparam("ticket_hash"), payload=bindparam("payload"), expires_at=bindparam("expires_at")
    ),
    "pending_sign_ins.add",
)
_FIND = Query(
    select(strangers.c.payload).where(
        strangers.c.ticket_hash == bindparam("ticket_hash"), strangers.c.expires_at > bindparam("at")
    ),
    "pending_sign_ins.find",
)
_REMOVE = Query(delete(strangers).where(strangers.c.ticket_hash == bindparam("ticket_hash")), "pending_sign_ins.remove")
_REMOVE_OLD = Query(delete(strangers).where(strangers.c.expires_at <= bindparam("at")), "pending_sign_ins.remove_old")


async def add(tx: Transaction, ticket_hash: str, payload: str, *, expires_at: int, now: int) -> None:
    """Keep what a provider told, until a moment; what others left too long goes."""
    await tx.execute(_REMOVE_OLD, at=now)
    await tx.execute(_ADD, ticket_hash=ticket_hash, payload=payload, expires_at=expires_at)


async def find(reader: Reader, ticket_hash: str, *, now: int) -> str | None:
    """Return what was kept under a ticket, unless its time is over."""
    row = await reader.one(_FIND, ticket_hash=ticket_hash, at=now)
    return None if row is None else str(row[0])


async def remove(tx: Transaction, ticket_hash: str) -> bool:
    """Use a ticket up; False when somebody was quicker."""
    return await tx.execute(_REMOVE, ticket_hash=ticket_hash) == 1
