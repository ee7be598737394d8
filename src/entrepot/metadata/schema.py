"""Which schema a database has, whether this program may use it, and how it gets the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Executable, column, func, literal_column, select, table

from entrepot.metadata import tables
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.dialects import dialect_named
from entrepot.metadata.engine.ddl import change_tables, run_all
from entrepot.metadata.errors import SchemaTooNew, SchemaTooOld
from entrepot.metadata.query import Query

#: The schema this program is written for: the number of the last migration.
VERSION: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The schema of a database, and the oldest programs that may still use it."""

    version: int
    min_reader: int
    min_writer: int

    @property
    def finished(self) -> bool:
        """Tell whether older programs are locked out: then nothing is left that only they need."""
        return min(self.min_reader, self.min_writer) >= self.version


def _count_schema_tables(dialect: Dialect) -> Executable:
    if dialect.name == SQLITE.name:
        return select(func.count()).select_from(table("sqlite_master")).where(column("name") == "schema")
    information = table("tables", schema="information_schema")
    here = column("table_schema") == literal_column("current_schema()")
    return select(func.count()).select_from(information).where(here, column("table_name") == "schema")


_IS_BUILT: Final = Query(_count_schema_tables, "is there a schema table")
_GET: Final = Query(
    select(tables.schema.c.version, tables.schema.c.min_reader, tables.schema.c.min_writer), "get the schema version"
)

#: Only one node of a cluster changes it at a time. The number is any, but ours.
_ONE_NODE: Final = 7305808869232001


async def find(reader: Reader) -> Schema | None:
    """Return the schema of a database, or None when it is empty."""
    built = await reader.one(_IS_BUILT)
    row = await reader.one(_GET) if built is not None and built[0] else None
    return None if row is None else Schema(version=row[0], min_reader=row[1], min_writer=row[2])


def check(schema: Schema, version: int = VERSION) -> None:
    """Refuse a database that programs of `version` must not touch any more.

    Raises:
        SchemaTooNew: With what to do about it.
    """
    needed = max(schema.min_reader, schema.min_writer)
    if version < needed:
        raise SchemaTooNew(
            f"the metadata database has schema {schema.version} and needs a program of schema {needed} or newer, "
            f"but this one is of schema {version}: start a newer Entrepot, or put back the copy made before the upgrade"
        )


async def upgrade(database: Database, before: Callable[[int], Awaitable[None]] | None = None) -> Schema:
    """Bring a database to this program's schema, in one transaction; the caller holds the start lock.

    Args:
        database: What to upgrade; an empty one gets all tables.
        before: Called with the version found, before an existing schema is changed; it makes the copy.

    Raises:
        SchemaTooNew: The database has left this program behind.
    """
    found = await find(database)
    if found is not None:
        check(found)
    if found is not None and found.version >= VERSION:
        return found
    if found is not None and before is not None:
        await before(found.version)
    await _migrate(database, found, VERSION)
    # Asked again and not assumed: on PostgreSQL another node may have been faster, with another version.
    return await upgrade(database, before)


async def finish(database: Database) -> Schema:
    """End the time in which older programs may run beside this one; the caller knows that none does any more.

    What only they needed is taken away, and they are refused from now on.

    Raises:
        SchemaTooNew: The database is of a newer program: that one has to finish it.
        SchemaTooOld: It has not been upgraded yet.
    """
    found = await find(database)
    if found is None or found.version < VERSION:
        raise not_upgraded()
    if found.version > VERSION:
        raise SchemaTooNew(f"the metadata database has schema {found.version}; a program of that schema finishes it")
    if not found.finished:
        from entrepot.metadata.migrations import script  # noqa: PLC0415 - as in _migrate

        dialect = dialect_named(database.dialect)
        statements = await asyncio.to_thread(script.finishing, dialect, VERSION)
        await _run_on(database, found, [*statements, _LOCK_OUT], f"finish schema {VERSION}")
    return await upgrade(database)


def not_upgraded() -> SchemaTooOld:
    """Say that something comes first."""
    return SchemaTooOld("the metadata database is not upgraded yet: run entrepot db upgrade without --finish first")


#: The post halves up to the version before have run: of older programs, those of that version alone may go on.
_LEAVE_ONE: Final = """UPDATE schema SET
  min_reader = CASE WHEN min_reader < version - 1 THEN version - 1 ELSE min_reader END,
  min_writer = CASE WHEN min_writer < version - 1 THEN version - 1 ELSE min_writer END"""
#: Only programs of the schema's own version may use it from now on.
_LOCK_OUT: Final = "UPDATE schema SET min_reader = version, min_writer = version"


async def _migrate(database: Database, found: Schema | None, to: int) -> None:
    from entrepot.metadata.migrations import script  # noqa: PLC0415 - Alembic takes 0.2 s, and few starts need it

    dialect = dialect_named(database.dialect)
    after, finished = (0, False) if found is None else (found.version, found.finished)
    statements = await asyncio.to_thread(partial(script.statements, dialect, after, to, finished=finished))
    await _run_on(database, found, [*statements, _LEAVE_ONE], f"migrate to schema {to}")


async def _run_on(database: Database, seen: Schema | None, statements: list[str], name: str) -> None:
    """Run statements in one transaction, unless the schema is another by now than the one that was seen."""

    async def work(transaction: Transaction) -> None:
        if await find(transaction) == seen:
            await run_all(transaction, statements)

    await change_tables(database, _ONE_NODE, work, name=name)
