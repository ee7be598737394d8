"""Links that are good once and for a short time; kept as hashes."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import one_time_links

RESET_PASSWORD = "reset-password"  # noqa: S105 - what a link is for

_FIND = Query(
    select(one_time_links.c.principal_id).where(
        one_time_links.c.hash == bindparam("hash"),
        one_time_links.c.purpose == bindparam("purpose"),
        one_time_links.c.expires_at > bindparam("now"),
    ),
    "one_time_links.find",
)
_ADD = Query(
    lambda d: d.insert(one_time_links).values(
        hash=bindparam("hash"),
        principal_id=bindparam("principal_id"),
        purpose=bindparam("purpose"),
        expires_at=bindparam("expires_at"),
    ),
    "one_time_links.add",
)
_REMOVE_OF = Query(
    delete(one_time_links).where(one_time_links.c.principal_id == bindparam("principal_id")),
    "one_time_links.remove_of",
)


async def find(reader: Reader, hashed: str, purpose: str) -> int | None:
    """Return the account that a link is for; None when there is no such link, or its time is over."""
    row = await reader.one(_FIND, hash=hashed, purpose=purpose, now=clock.now())
    return None if row is None else int(row[0])


async def put(tx: Transaction, hashed: str, *, principal_id: int, purpose: str, expires_at: int) -> None:
    """Keep a link for an account; earlier ones of the account are good no more."""
    await remove_of(tx, principal_id)
    await tx.execute(_ADD, hash=hashed, principal_id=principal_id, purpose=purpose, expires_at=expires_at)


async def remove_of(tx: Transaction, principal_id: int) -> None:
    """Let no link of an account be good any more."""
    await tx.execute(_REMOVE_OF, principal_id=principal_id)
