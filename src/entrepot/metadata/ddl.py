"""Builds tables straight from their description, for `work.db` and for tests."""

from sqlalchemy import MetaData, Table
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.expression import ClauseElement

from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.dialects import dialect_named
from entrepot.metadata.query import RawQuery


def create_statements(metadata: MetaData, dialect: Dialect) -> list[str]:
    """Return the statements that build all tables and their indexes, in an order that works."""
    return [statement for table in metadata.sorted_tables for statement in table_statements(table, dialect)]


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


async def create_all(database: Database, metadata: MetaData) -> None:
    """Build all tables in an empty database."""
    statements = create_statements(metadata, dialect_named(database.dialect))
    await database.write(lambda transaction: run_all(transaction, statements), name="create tables")
