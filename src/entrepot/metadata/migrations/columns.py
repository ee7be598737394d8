"""Columns for revisions, spelt as short as history allows.

What these functions build must never change: a revision means the same for ever. Something new gets a new function.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op


def whole() -> sa.types.TypeEngine[int]:
    """64 bits; SQLite's strict tables call it INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def words_type() -> sa.types.TypeEngine[str]:
    """Text in the order of its bytes."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def identity() -> sa.Column[int]:
    """The row's own number."""
    return sa.Column("id", whole(), sa.Identity(), nullable=False)


def words(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    """A text column."""
    return sa.Column(name, words_type(), nullable=null, server_default=None if default is None else sa.text(default))


def number(name: str, *, null: bool = False, default: int | None = None) -> sa.Column[int]:
    """A column of whole numbers."""
    fallback = None if default is None else sa.text(str(default))
    return sa.Column(name, whole(), nullable=null, server_default=fallback, autoincrement=False)


def primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    """The primary key."""
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def unique(table: str, *columns: str) -> sa.UniqueConstraint:
    """A unique constraint."""
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def foreign(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    """A foreign key of one column."""
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete=ondelete)


def index(table: str, *columns: str) -> None:
    """Create an index named after what it indexes."""
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def numbered(table: str, *items: Any) -> None:
    """Create a table with an `id` that is never given twice."""
    op.create_table(table, identity(), *items, primary(table, "id"), sqlite_autoincrement=True, sqlite_strict=True)


def keyed(table: str, *items: Any) -> None:
    """Create a table whose rows lie in the tree of its key."""
    op.create_table(table, *items, sqlite_with_rowid=False, sqlite_strict=True)


def plain(table: str, *items: Any) -> None:
    """Create a table found by a key of the writer's, for rows too large to lie in the key's tree."""
    op.create_table(table, *items, sqlite_strict=True)
