"""Fixtures for tests that run on both databases; a folder's conftest.py imports them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from entrepot.metadata.database import Database
from tests.support.databases import postgres_database, sqlite_database
from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; the tests fail, naming the package, when it is not installed."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        async with sqlite_database(tmp_path) as sqlite:
            yield sqlite
    else:
        async with postgres_database(request.getfixturevalue("postgres")) as postgresql:
            yield postgresql
