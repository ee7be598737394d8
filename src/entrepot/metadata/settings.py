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


async def remove(tx: Transaction, key: str) -> None:
    """Forget `key`."""
    await tx.execute(_DELETE, key=key)
