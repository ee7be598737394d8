"""Gives the work in progress the tables of this program, and keeps what is in them.

Programs of other versions may run beside this one, with their uploads, sessions and leases in the same tables. So
nothing is taken away that an older one needs, and what is missing is added; only a table that cannot be completed is
built anew.
"""

from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.schema import CreateColumn, CreateIndex, DropTable

from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.dialects import dialect_named
from entrepot.metadata.engine.ddl import change_tables, run_all, table_statements, written
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import LOGGED, OLDEST_WORK_VERSION, SCHEMA, WORK_VERSION, work_metadata

_VERSION: Final = RawQuery("PRAGMA user_version", "get the version of the work tables")
_COLUMNS: Final = {
    "sqlite": RawQuery(
        "SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'",
        "list the work tables of SQLite",
    ),
    "postgresql": RawQuery(
        "SELECT CAST(table_name AS text), CAST(column_name AS text) FROM information_schema.columns "
        "WHERE table_schema = 'work'",
        "list the work tables",
    ),
}
_INDEXES: Final = {
    "sqlite": RawQuery("SELECT name FROM sqlite_schema WHERE type = 'index'", "list the work indexes of SQLite"),
    "postgresql": RawQuery(
        "SELECT CAST(indexname AS text) FROM pg_indexes WHERE schemaname = 'work'",
        "list the indexes of the work tables",
    ),
}
#: Only one node of a cluster builds them at a time. The number is any, but ours.
_ONE_NODE: Final = 7305808869232002


async def is_complete(work: Database) -> bool:
    """Tell whether nothing is missing."""
    return not await _missing_statements(work, work.dialect)


async def complete(work: Database) -> None:
    """Build what is missing; on SQLite the caller holds the start lock."""
    if await is_complete(work):
        return

    async def build(transaction: Transaction) -> None:
        await run_all(transaction, await _missing_statements(transaction, work.dialect))

    await change_tables(work, _ONE_NODE, build, name="build work tables")


async def _missing_statements(reader: Reader, name: str) -> list[str]:
    dialect = dialect_named(name)
    if dialect is SQLITE:
        row = await reader.one(_VERSION)
        if row is None or row[0] < OLDEST_WORK_VERSION:
            return [*_whole(dialect), f"PRAGMA user_version = {WORK_VERSION}"]
    columns: dict[str, set[str]] = {}
    for table, column in await reader.all(_COLUMNS[name]):
        columns.setdefault(table, set()).add(column)
    if not columns and dialect is not SQLITE:
        return [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", *_whole(dialect)]
    indexes = {name for (name,) in await reader.all(_INDEXES[name])}
    return [one for table in work_metadata.sorted_tables for one in _missing(table, columns, indexes, dialect)]


def _whole(dialect: Dialect) -> list[str]:
    return [statement for table in work_metadata.sorted_tables for statement in _anew(table, dialect)]


def _missing(table: Table, columns: dict[str, set[str]], indexes: set[str], dialect: Dialect) -> list[str]:
    """Say what completes a table and its indexes."""
    wanted = [column for column in table.columns if column.name not in columns.get(table.name, ())]
    if table.name not in columns or not all(map(_may_follow, wanted)):
        return _anew(table, dialect)
    name = dialect.compiler.identifier_preparer.format_table(table)
    added = [f"ALTER TABLE {name} ADD COLUMN {written(CreateColumn(column), dialect)}" for column in wanted]
    return added + [written(CreateIndex(index), dialect) for index in table.indexes if index.name not in indexes]


def _may_follow(column: Column[Any]) -> bool:
    """Tell whether the rows that are there, and older programs, can do without a column."""
    return not column.primary_key and (bool(column.nullable) or column.server_default is not None)


def _anew(table: Table, dialect: Dialect) -> list[str]:
    table_itself, *rest = table_statements(table, dialect)
    if dialect is not SQLITE and table.name not in LOGGED:
        # Neither logged nor sent to standbys: a crash and a failover leave the table empty.
        table_itself = table_itself.replace("CREATE TABLE", "CREATE UNLOGGED TABLE", 1)
    return [written(DropTable(table, if_exists=True), dialect), table_itself, *rest]
