"""Builds tables straight from their description, for `work.db` and for tests."""

from sqlalchemy import MetaData
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable, ExecutableDDLElement

from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.dialects import dialect_named
from entrepot.metadata.query import RawQuery


def create_statements(metadata: MetaData, dialect: Dialect) -> list[str]:
    """Return the statements that build all tables and their indexes, in an order that works."""
    elements: list[ExecutableDDLElement] = []
    for table in metadata.sorted_tables:
        elements.append(CreateTable(table))
        elements.extend(CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name)))
    return [_text(element, dialect) for element in elements]


def drop_statements(metadata: MetaData, dialect: Dialect) -> list[str]:
    """Return the statements that remove the tables that are there."""
    return [_text(DropTable(table, if_exists=True), dialect) for table in reversed(metadata.sorted_tables)]


def _text(element: ExecutableDDLElement, dialect: Dialect) -> str:
    return str(element.compile(dialect=dialect.compiler)).strip()


async def run_all(transaction: Transaction, statements: list[str]) -> None:
    """Run statements given as text."""
    for statement in statements:
        await transaction.execute(RawQuery(statement))


async def create_all(database: Database, metadata: MetaData) -> None:
    """Build all tables in an empty database."""
    statements = create_statements(metadata, dialect_named(database.dialect))
    await database.write(lambda transaction: run_all(transaction, statements), name="create tables")
