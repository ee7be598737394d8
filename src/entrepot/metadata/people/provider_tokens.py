"""What lets us ask a provider about a person again: sealed in `users.refresh`, with the time of the last answer.

An account without it is not asked about: it was closed, or its provider gave nothing to ask with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import and_, bindparam, or_, select, update

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import principals, users


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRecord:
    """A person about whom a provider is to be asked."""

    id: int
    name: str
    subject: str
    sealed: str = field(repr=False)
    checked_at: int  #: microseconds since the epoch


_DUE = Query(
    select(users.c.principal_id, principals.c.name, users.c.subject, users.c.refresh, users.c.checked_at)
    .join_from(users, principals, principals.c.id == users.c.principal_id)
    .where(
        users.c.provider == bindparam("provider"),
        users.c.checked_at <= bindparam("before"),
        users.c.checked_at >= bindparam("after_at"),
        or_(
            users.c.checked_at > bindparam("after_at"),
            and_(users.c.checked_at == bindparam("after_at"), users.c.principal_id > bindparam("after_id")),
        ),
        users.c.refresh.is_not(None),
        users.c.subject.is_not(None),
        principals.c.disabled == 0,
    )
    .order_by(users.c.checked_at, users.c.principal_id)
    .limit(bindparam("limit")),
    "provider_tokens.due",
)
_FIND = Query(select(users.c.refresh).where(users.c.principal_id == bindparam("principal_id")), "provider_tokens.find")
_SET = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"))
    .values(refresh=bindparam("sealed"), checked_at=bindparam("at")),
    "provider_tokens.set",
)
_SWAP = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"), users.c.refresh == bindparam("old"))
    .values(refresh=bindparam("sealed")),
    "provider_tokens.swap",
)


async def due(
    reader: Reader, provider: str, *, before: int, limit: int, after: tuple[int, int] = (0, 0)
) -> list[DueRecord]:
    """Return people of a provider whose last answer is older than `before`, those who wait longest first.

    Args:
        reader: The database.
        provider: As it stands in the rows of its people.
        before: Microseconds since the epoch.
        limit: The most to return.
        after: `checked_at` and id of the last one of the page before.
    """
    rows = await reader.all(_DUE, provider=provider, before=before, after_at=after[0], after_id=after[1], limit=limit)
    return [DueRecord(id=r[0], name=r[1], subject=r[2], sealed=r[3], checked_at=r[4]) for r in rows]


async def find(reader: Reader, principal_id: int) -> str | None:
    """Return the sealed text of a person, if there is one."""
    row = await reader.one(_FIND, principal_id=principal_id)
    return None if row is None or row[0] is None else str(row[0])


async def put(tx: Transaction, principal_id: int, sealed: str | None, *, at: int | None) -> None:
    """Keep what to ask with the next time, and when the provider answered; None and None: it is not asked again."""
    await tx.execute(_SET, principal=principal_id, sealed=sealed, at=at)


async def swap(tx: Transaction, principal_id: int, *, old: str, new: str) -> bool:
    """Put one sealed text in the place of another; False when that is no longer there."""
    return await tx.execute(_SWAP, principal=principal_id, old=old, sealed=new) == 1
