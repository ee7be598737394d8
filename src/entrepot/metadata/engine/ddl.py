"""Builds tables straight from their description."""

from sqlalchemy import Table
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.expression import ClauseElement

from entrepot.metadata.database import Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import RawQuery


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
