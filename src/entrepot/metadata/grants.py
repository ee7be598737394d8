"""Grants: rights given to one account or to an audience."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, or_, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import grants


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """One grant; `actions` are separated by commas, and either `principal_id` or `audience` is set."""

    id: int
    principal_id: int | None
    audience: str | None
    resource: str
    actions: str
    origin: str


_COLUMNS = (
    grants.c.id,
    grants.c.principal_id,
    grants.c.audience,
    grants.c.resource,
    grants.c.actions,
    grants.c.origin,
)
_FOR = Query(
    select(*_COLUMNS)
    .where(or_(grants.c.audience.is_not(None), grants.c.principal_id == bindparam("principal_id")))
    .order_by(grants.c.id),
    "grants.list_for",
)
_LIST = Query(select(*_COLUMNS).order_by(grants.c.id), "grants.list")
_ADD = Query(
    lambda d: d.insert(grants).values(
        principal_id=bindparam("principal_id"),
        audience=bindparam("audience"),
        resource=bindparam("resource"),
        actions=bindparam("actions"),
        origin=bindparam("origin"),
        created_at=bindparam("created_at"),
    ),
    "grants.add",
)
_REMOVE = Query(delete(grants).where(grants.c.id == bindparam("id")), "grants.remove")
_REMOVE_FROM = Query(delete(grants).where(grants.c.origin == bindparam("origin")), "grants.remove_from")


def _record(row: Row) -> GrantRecord:
    return GrantRecord(*row)


async def list_for(reader: Reader, principal_id: int | None) -> list[GrantRecord]:
    """Return the grants to one account and those to audiences; which of these reach the account, `access` decides."""
    return [_record(row) for row in await reader.all(_FOR, principal_id=principal_id)]


async def list_all(reader: Reader) -> list[GrantRecord]:
    """Return every grant, oldest first."""
    return [_record(row) for row in await reader.all(_LIST)]


async def add(
    tx: Transaction,
    *,
    resource: str,
    actions: str,
    origin: str,
    principal_id: int | None = None,
    audience: str | None = None,
) -> None:
    """Give a right to an account, or to an audience."""
    await tx.execute(
        _ADD,
        principal_id=principal_id,
        audience=audience,
        resource=resource,
        actions=actions,
        origin=origin,
        created_at=clock.now(),
    )


async def remove(tx: Transaction, grant_id: int) -> bool:
    """Take one grant back; False when there is none with this id."""
    return await tx.execute(_REMOVE, id=grant_id) == 1


async def remove_from(tx: Transaction, origin: str) -> None:
    """Take back all grants that exist for one reason."""
    await tx.execute(_REMOVE_FROM, origin=origin)
