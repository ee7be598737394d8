"""Column types and shapes that mean the same on SQLite and PostgreSQL.

Times are microseconds since the epoch in UTC, booleans are 0 and 1, JSON is text. Text compares bytewise
(BINARY and COLLATE "C"), so that names, tags and digests sort as the distribution spec asks.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.schema import SchemaItem

#: SQLite's strict tables know only INTEGER, which has 64 bits there.
WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
BYTES: Final = LargeBinary()

#: Constraint names are part of the schema: a later migration must be able to say which one it changes.
NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def identity() -> Column[int]:
    """A row's own number, never given twice, also not after the row is gone."""
    return Column("id", WHOLE, Identity(), primary_key=True)


def key(name: str, kind: Any = TEXT) -> Column[Any]:
    """A part of the primary key that the writer chooses."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def words(name: str, *, null: bool = False) -> Column[str]:
    """A text column."""
    return Column(name, TEXT, nullable=null)


def number(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    """An integer, time or boolean column."""
    return Column(name, WHOLE, nullable=null, server_default=None if default is None else text(str(default)))


def owned(name: str, target: str, *, primary_key: bool = False) -> Column[int]:
    """A reference whose row goes when the row it refers to goes."""
    reference = ForeignKey(target, ondelete="CASCADE")
    return Column(name, WHOLE, reference, primary_key=primary_key, nullable=False, autoincrement=False)


def refers(name: str, target: str, *, kind: Any = WHOLE, primary_key: bool = False) -> Column[Any]:
    """A reference that keeps the row it refers to from going."""
    return Column(name, kind, ForeignKey(target), primary_key=primary_key, nullable=False, autoincrement=False)


def numbered(name: str, metadata: MetaData, *items: SchemaItem) -> Table:
    """A table with an `id`."""
    return Table(name, metadata, identity(), *items, sqlite_autoincrement=True, sqlite_strict=True)


def keyed(name: str, metadata: MetaData, *items: SchemaItem) -> Table:
    """A table of small rows found by a key of the writer's; SQLite then keeps the rows in the key's own tree."""
    return Table(name, metadata, *items, sqlite_with_rowid=False, sqlite_strict=True)
