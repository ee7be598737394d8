"""Gives `work.db` the tables of this program, and keeps what is in it.

Programs of other versions may run beside this one, with their uploads, sessions and leases in the same tables. So
nothing is taken away that an older one needs, and what is missing is added; only a table that cannot be completed is
built anew.
"""

from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.schema import CreateColumn, CreateIndex, DropTable

from entrepot.metadata.database import Database
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.ddl import run_all, table_statements, written
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import OLDEST_WORK_VERSION, WORK_VERSION, work_metadata

_VERSION: Final = RawQuery("PRAGMA user_version", "get the version of the work tables")
_COLUMNS: Final = RawQuery(
    "SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'",
    "list the work tables",
)
_INDEXES: Final = RawQuery("SELECT name FROM sqlite_schema WHERE type = 'index'", "list the indexes of the work tables")


async def complete(work: Database) -> None:
    """Build what is missing; the caller holds the start lock."""
    row = await work.one(_VERSION)
    statements = await _additions(work) if row and row[0] >= OLDEST_WORK_VERSION else _whole()
    if statements:
        await work.write(lambda transaction: run_all(transaction, statements), name="build work tables")


def _whole() -> list[str]:
    built = [statement for table in work_metadata.sorted_tables for statement in _anew(table)]
    return [*built, f"PRAGMA user_version = {WORK_VERSION}"]


async def _additions(work: Database) -> list[str]:
    columns: dict[str, set[str]] = {}
    for table, column in await work.all(_COLUMNS):
        columns.setdefault(table, set()).add(column)
    indexes = {name for (name,) in await work.all(_INDEXES)}
    return [one for table in work_metadata.sorted_tables for one in _missing(table, columns, indexes)]


def _missing(table: Table, columns: dict[str, set[str]], indexes: set[str]) -> list[str]:
    """Say what completes a table and its indexes."""
    wanted = [column for column in table.columns if column.name not in columns.get(table.name, ())]
    if table.name not in columns or not all(map(_may_follow, wanted)):
        return _anew(table)
    added = [f"ALTER TABLE {table.name} ADD COLUMN {written(CreateColumn(column), SQLITE)}" for column in wanted]
    return added + [written(CreateIndex(index), SQLITE) for index in table.indexes if index.name not in indexes]


def _may_follow(column: Column[Any]) -> bool:
    """Tell whether the rows that are there, and older programs, can do without a column."""
    return not column.primary_key and (bool(column.nullable) or column.server_default is not None)


def _anew(table: Table) -> list[str]:
    return [written(DropTable(table, if_exists=True), SQLITE), *table_statements(table, SQLITE)]
