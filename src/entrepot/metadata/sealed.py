"""Every column that may hold a text sealed by the vault; whoever adds one lists it here, or a rotation misses it.

`about` names a row of such a column: the vault binds the text to it.
"""

from __future__ import annotations

from sqlalchemy import Column, bindparam, select, update

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import settings, users

#: How every sealed text begins.
MARK = "sealed:"

TOTP = "users.totp"
RECOVERY = "users.recovery"
REFRESH = "users.refresh"
SETTING = "settings.value"

Key = int | str


def about(place: str, key: Key) -> str:
    """Name one row of a place, for the vault."""
    return f"{place}:{key}"


def _page(place: str, key: Column[int] | Column[str], value: Column[str]) -> Query:
    return Query(
        select(key, value)
        .where(key > bindparam("after"), value.like(f"{MARK}%"))
        .order_by(key)
        .limit(bindparam("limit")),
        f"sealed.page {place}",
    )


def _replace(place: str, key: Column[int] | Column[str], value: Column[str]) -> Query:
    return Query(
        update(value.table)
        .where(key == bindparam("row"), value == bindparam("old"))
        .values({value.name: bindparam("new")}),
        f"sealed.replace {place}",
    )


_COLUMNS: dict[str, tuple[Column[int] | Column[str], Column[str]]] = {
    TOTP: (users.c.principal_id, users.c.totp),
    RECOVERY: (users.c.principal_id, users.c.recovery),
    REFRESH: (users.c.principal_id, users.c.refresh),
    SETTING: (settings.c.key, settings.c.value),
}
_PAGE = {place: _page(place, *columns) for place, columns in _COLUMNS.items()}
_REPLACE = {place: _replace(place, *columns) for place, columns in _COLUMNS.items()}

PLACES = tuple(_COLUMNS)


def before_first(place: str) -> Key:
    """Return a key that comes before all others of a place, for its first page."""
    return "" if place == SETTING else -1


async def page(reader: Reader, place: str, *, after: Key, limit: int) -> list[tuple[Key, str]]:
    """Return the next sealed texts of a place, with the keys of their rows."""
    return [(row[0], row[1]) for row in await reader.all(_PAGE[place], after=after, limit=limit)]


async def replace(tx: Transaction, place: str, key: Key, *, old: str, new: str) -> bool:
    """Put a text sealed anew in place of the old one; False when that is no longer there."""
    return await tx.execute(_REPLACE[place], row=key, old=old, new=new) == 1
