"""Opens a registry's PostgreSQL database: the truth in the schema of the connection, work in progress in `work`.

Every process opens it for itself. What only one of all processes may do at a time (building tables, migrating) happens
under a lock that ends with its transaction.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from sqlalchemy import func, literal_column
from sqlalchemy.sql import select

from entrepot.metadata import schema
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.engine.ddl import run_all, table_statements
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.opening import Stores
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.work_tables import work_metadata

#: The schema of the work tables.
WORK_SCHEMA: Final = "work"

_ONE_NODE: Final = Query(select(func.pg_advisory_xact_lock(literal_column("7305808869232002"))), "lock the work tables")
_BUILT: Final = RawQuery(
    "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()", "list the work tables"
)
_MAKE: Final = RawQuery(f"CREATE SCHEMA IF NOT EXISTS {WORK_SCHEMA}", "make the schema of the work tables")


async def open_postgres(url: str, *, connections: int) -> Stores:
    """Open the database, building or upgrading its tables.

    Args:
        url: `postgresql://…`.
        connections: Most of one process.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        SchemaTooNew: A newer program has left this one behind.
    """
    async with AsyncExitStack() as stack:
        metadata = await PostgresDatabase.open(url, connections=max(1, connections - connections // 4))
        stack.push_async_callback(metadata.close)
        await schema.upgrade(metadata)
        work = await PostgresDatabase.open(url, connections=max(1, connections // 4), schema=WORK_SCHEMA)
        stack.push_async_callback(work.close)
        await _complete(work)
        return Stores(metadata=metadata, work=work, _closing=stack.pop_all())
    raise AssertionError  # the stack swallows nothing


async def _complete(work: Database) -> None:
    """Build the work tables that are missing."""
    if not await _missing(work):
        return

    async def build(transaction: Transaction) -> None:
        await transaction.one(_ONE_NODE)
        await transaction.execute(_MAKE)
        for table in work_metadata.sorted_tables:
            if table.name in await _missing(transaction):
                await run_all(transaction, table_statements(table, POSTGRESQL))

    await work.write(build, name="build work tables")


async def _missing(reader: Database | Transaction) -> set[str]:
    built = {row[0] for row in await reader.all(_BUILT)}
    return {table.name for table in work_metadata.sorted_tables} - built
