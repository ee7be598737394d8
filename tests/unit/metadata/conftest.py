"""A SQLite database with the metadata tables."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all, sqlite_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """An empty database file with the metadata tables."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, metadata)
        yield database
