"""Databases for tests: a SQLite file in a temporary folder, a fresh database of a PostgreSQL server."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg
from sqlalchemy import MetaData

from entrepot.metadata import tables, work_shape
from entrepot.metadata.database import Database
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.dialects import dialect_named
from entrepot.metadata.engine.ddl import run_all, table_statements
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgres_connect import REQUESTS, Connection, Limits
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.migrations import kept_sums, monthly_events, noted_changes
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import work_metadata
from entrepot.telemetry.instruments import Metrics
from tests.support.postgres import PostgresServer

_numbers = itertools.count()
#: Ports of the servers that have the database that others are copied from.
_with_template: set[int] = set()


class HasPort(Protocol):
    """Something that listens on the loopback."""

    @property
    def port(self) -> int:
        """Where."""
        ...


@asynccontextmanager
async def sqlite_database(folder: Path, name: str = "test.db") -> AsyncIterator[SqliteDatabase]:
    """Open an empty SQLite database in a folder."""
    database = SqliteDatabase(folder / name)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def postgres_database(server: PostgresServer, way: HasPort | None = None) -> AsyncIterator[PostgresDatabase]:
    """Open an empty database of a server, by `way` if given; it is dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    database = await PostgresDatabase.open(_url(way or server, name))
    try:
        yield database
    finally:
        await database.close()
        await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def registry_database(server: PostgresServer) -> AsyncIterator[str]:
    """Give the address of a new database that has all tables of a registry; it is dropped at the end."""
    name = f"registry_{os.getpid()}_{next(_numbers)}"
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{await _template(server)}" STRATEGY file_copy')
    try:
        yield server.url(name)
    finally:
        await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _template(server: PostgresServer) -> str:
    """Build the tables once for each server: copying them is quicker."""
    name = f"template_{os.getpid()}"
    if server.port not in _with_template:
        await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
        await (await open_postgres(server.url(name), PostgresOptions(connections=2))).close()
        _with_template.add(server.port)
    return name


@asynccontextmanager
async def through(
    way: HasPort, database: PostgresDatabase, *, limits: Limits = REQUESTS, metrics: Metrics | None = None
) -> AsyncIterator[PostgresDatabase]:
    """Open a database that is open already once more, by another port: that of a relay or a pooler."""
    name = database._pool.connector.database
    again = await PostgresDatabase.open(_url(way, name), limits=limits, metrics=metrics)
    try:
        yield again
    finally:
        await again.close()


@asynccontextmanager
async def connection_to(database: PostgresDatabase) -> AsyncIterator[Connection]:
    """Open a connection of its own to a database."""
    connection = await database._pool.connector.connect()
    try:
        yield connection
    finally:
        connection.terminate()


_TABLES = {
    SQLITE.name: RawQuery("SELECT name FROM sqlite_master WHERE type = 'table'"),
    "postgresql": RawQuery(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema IN (current_schema(), 'work') AND table_type = 'BASE TABLE'"
    ),
}


async def tables_of(database: Database) -> list[str]:
    """List the tables of a registry's database, without what only tells where they are."""
    return [name.removeprefix("public.") for (name,) in await database.all(_TABLES[database.dialect])]


async def create_all(database: Database, metadata: MetaData) -> None:
    """Build all tables in an empty database, in an order that works."""
    if metadata is work_metadata and database.dialect != SQLITE.name:
        await work_shape.complete(database)
        return
    dialect = dialect_named(database.dialect)
    statements = [text for table in metadata.sorted_tables for text in table_statements(table, dialect)]
    if metadata is tables.metadata:
        statements += [*kept_sums.statements(database.dialect), *noted_changes.statements(database.dialect)]
        statements += monthly_events.statements(database.dialect)
    await database.write(lambda transaction: run_all(transaction, statements), name="create tables")


def _url(way: HasPort, name: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{way.port}/{name}"


async def _administer(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
