"""What a statement is compiled for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteDialect, SQLiteIdentifierPreparer
from sqlalchemy.engine.interfaces import Dialect as SqlDialect


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a statement's builder may ask about the database it is built for."""

    name: str
    compiler: SqlDialect = field(repr=False)
    insert: Callable[[Table], Any] = field(repr=False)


class _SqliteNames(SQLiteIdentifierPreparer):
    """Writes names without their schema: what is a schema on PostgreSQL is a file of its own here."""

    @staticmethod
    def schema_for_object(_table: Any) -> str:  # type: ignore[override]  # an attribute that holds a function there
        """Return none, as an empty one."""
        return ""


class _SqliteDialect(SQLiteDialect):
    """SQLAlchemy's dialect without the `= 1` it hangs on boolean expressions, which would hide them from indexes."""

    preparer = _SqliteNames
    supports_native_boolean = True
    supports_statement_cache = True


# `insert` is `Any` and not a union: both inserts have on_conflict_do_update, but no common class with it.
SQLITE: Final = Dialect("sqlite", _SqliteDialect(paramstyle="named"), sqlite.insert)
