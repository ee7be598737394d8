"""Settings that are changed while the registry runs, by name."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import settings

_FIND = Query(select(settings.c.value).where(settings.c.key == bindparam("key")), "settings.find")
_BEGINNING = Query(
    select(settings.c.key, settings.c.value).where(
        settings.c.key >= bindparam("first"), settings.c.key < bindparam("behind")
    ),
    "settings.beginning_with",
)
_DELETE = Query(delete(settings).where(settings.c.key == bindparam("key")), "settings.delete")
_PUT = Query(
    lambda d: (
        insert := d.insert(settings).values(key=bindparam("key"), value=bindparam("value"))
    ).on_conflict_do_update(index_elements=[settings.c.key], set_={"value": insert.excluded.value}),
    "settings.put",
)
_ADD = Query(
    lambda d: d.insert(settings).values(key=bindparam("key"), value=bindparam("value")).on_conflict_do_nothing(),
    "settings.add",
)
_CHANGE = Query(
    lambda d: (
        insert := d.insert(settings).values(key=bindparam("key"), value=bindparam("value"))
    ).on_conflict_do_update(
        index_elements=[settings.c.key],
        set_={"value": insert.excluded.value},
        where=settings.c.value != insert.excluded.value,
    ),
    "settings.change",
)


async def find(reader: Reader, key: str) -> str | None:
    """Return the value stored under `key`."""
    row = await reader.one(_FIND, key=key)
    return None if row is None else str(row[0])


async def beginning_with(reader: Reader, prefix: str) -> dict[str, str]:
    """Return all values whose keys begin with `prefix`, by their keys."""
    behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {row[0]: row[1] for row in await reader.all(_BEGINNING, first=prefix, behind=behind)}


async def put(tx: Transaction, key: str, value: str) -> None:
    """Store `value` under `key`."""
    await tx.execute(_PUT, key=key, value=value)


async def add(tx: Transaction, key: str, value: str) -> bool:
    """Store `value` under `key` unless there is one; tell whether there was none."""
    return await tx.execute(_ADD, key=key, value=value) == 1


async def change(tx: Transaction, key: str, value: str) -> bool:
    """Store `value` under `key`; tell whether that is another one than before, or the first."""
    return await tx.execute(_CHANGE, key=key, value=value) == 1


async def remove(tx: Transaction, key: str) -> bool:
    """Forget `key`; tell whether there was anything."""
    return await tx.execute(_DELETE, key=key) == 1
