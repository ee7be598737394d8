"""Builds and changes tables, straight from their description or by statements given as text."""

import asyncio
import random
import time
from typing import Final

from sqlalchemy import Table
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.expression import ClauseElement

from entrepot.metadata.database import Database, T, Transaction, Work
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.query import RawQuery

#: Whoever waits to change a table holds up all who come to it later; so nobody waits for long, but again and again.
_LOCK_SECONDS: Final = 2
#: For so long in all: another program may be at it, and may have much to do.
_PATIENCE_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 1.0
_LOCK_TIMEOUT: Final = RawQuery(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'", "bound the wait for a table")


def table_statements(table: Table, dialect: Dialect) -> list[str]:
    """Return the statements that build a table and its indexes."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [written(CreateTable(table), dialect), *(written(CreateIndex(index), dialect) for index in indexes)]


def written(element: ClauseElement, dialect: Dialect) -> str:
    """Write a statement as text."""
    return str(element.compile(dialect=dialect.compiler)).strip()


async def run_all(transaction: Transaction, statements: list[str]) -> None:
    """Run statements given as text."""
    for statement in statements:
        await transaction.execute(RawQuery(statement))


async def change_tables(database: Database, one_node: int, work: Work[T], *, name: str) -> T:
    """Run `work`, which changes tables, in one transaction, one of all nodes at a time.

    On SQLite the caller holds the start lock. On PostgreSQL `one_node` is the number of a lock that ends with the
    transaction; who waits for it, or for a table, steps back after two seconds and tries again, for ten minutes.

    Raises:
        Conflict: Somebody else kept the lock or a table for all that time.
    """
    if database.dialect == SQLITE.name:
        return await database.write(work, name=name)

    from entrepot.metadata.engine.postgres_errors import Conflict  # noqa: PLC0415 - the driver is an extra

    async def alone(transaction: Transaction) -> T:
        await transaction.execute(_LOCK_TIMEOUT)
        await transaction.execute(RawQuery(f"SELECT pg_advisory_xact_lock({one_node})", "let one node change tables"))
        return await work(transaction)

    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await database.write(alone, name=name)
        except Conflict:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - against meeting the same one again
