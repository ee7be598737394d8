"""Jobs over each database; `database` has the tables of both the metadata and the work in progress."""

from __future__ import annotations

import pytest

from entrepot.metadata.database import Database
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.work_tables import work_metadata
from tests.support.database_fixtures import database, every_database, older_postgres, pooler, postgres
from tests.support.databases import create_all


@pytest.fixture
async def tables(database: Database) -> Database:
    """A database with all tables."""
    await create_all(database, metadata_tables)
    await create_all(database, work_metadata)
    return database


__all__ = ["database", "every_database", "older_postgres", "pooler", "postgres", "tables"]
