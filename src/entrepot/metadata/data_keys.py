"""Data keys: what secrets at rest are sealed with, themselves wrapped with the operator's key."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import data_keys


@dataclass(frozen=True, slots=True)
class DataKeyRecord:
    """One key; `wrapped_by` is the id of the operator's key that unwraps it."""

    id: int
    wrapped: str = field(repr=False)
    wrapped_by: str
    created_at: int


_COLUMNS = (data_keys.c.id, data_keys.c.wrapped, data_keys.c.wrapped_by, data_keys.c.created_at)
_NEWEST = Query(select(*_COLUMNS).order_by(data_keys.c.id.desc()).limit(1), "data_keys.newest")
_FIND = Query(select(*_COLUMNS).where(data_keys.c.id == bindparam("id")), "data_keys.find")
_ALL = Query(select(*_COLUMNS).order_by(data_keys.c.id), "data_keys.all")
_ADD = Query(
    lambda d: (
        d.insert(data_keys)
        .values(wrapped=bindparam("wrapped"), wrapped_by=bindparam("wrapped_by"), created_at=bindparam("created_at"))
        .returning(*_COLUMNS)
    ),
    "data_keys.add",
)
_REWRAP = Query(
    update(data_keys)
    .where(data_keys.c.id == bindparam("key"))
    .values(wrapped=bindparam("wrapped_anew"), wrapped_by=bindparam("now_by")),
    "data_keys.rewrap",
)
_REMOVE = Query(delete(data_keys).where(data_keys.c.id == bindparam("id")), "data_keys.remove")


async def newest(reader: Reader) -> DataKeyRecord | None:
    """Return the key that seals; None before the first."""
    row = await reader.one(_NEWEST)
    return None if row is None else DataKeyRecord(*row)


async def find(reader: Reader, key_id: int) -> DataKeyRecord | None:
    """Return one key."""
    row = await reader.one(_FIND, id=key_id)
    return None if row is None else DataKeyRecord(*row)


async def list_all(reader: Reader) -> list[DataKeyRecord]:
    """Return all keys, oldest first; there are few."""
    return [DataKeyRecord(*row) for row in await reader.all(_ALL)]


async def add(tx: Transaction, wrapped: str, wrapped_by: str) -> DataKeyRecord:
    """Add a key, which seals from now on."""
    row = await tx.one(_ADD, wrapped=wrapped, wrapped_by=wrapped_by, created_at=clock.now())
    assert row is not None
    return DataKeyRecord(*row)


async def rewrap(tx: Transaction, key_id: int, wrapped: str, wrapped_by: str) -> None:
    """Keep a key wrapped with another key of the operator's."""
    await tx.execute(_REWRAP, key=key_id, wrapped_anew=wrapped, now_by=wrapped_by)


async def remove(tx: Transaction, key_id: int) -> None:
    """Forget a key that nothing is sealed with."""
    await tx.execute(_REMOVE, id=key_id)
