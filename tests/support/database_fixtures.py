"""Fixtures for tests that run on both databases; a folder's conftest.py imports them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from entrepot.metadata.database import Database
from tests.support.databases import postgres_database, sqlite_database
from tests.support.pgbouncer import Pooler, pgbouncer
from tests.support.postgres import OLDER, PostgresServer, running_postgres

#: Every kind of database: files, PostgreSQL of two versions, and behind pgbouncer.
EVERY_KIND = ("sqlite", "postgresql", f"postgresql-{OLDER}", "pgbouncer")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; the tests fail, naming the package, when it is not installed."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def older_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of an older version."""
    with running_postgres(OLDER) as server:
        yield server


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[Pooler]:
    """A pgbouncer before the server."""
    with pgbouncer(postgres) as running:
        yield running


@pytest.fixture(params=[*EVERY_KIND[:2], *(pytest.param(kind, marks=pytest.mark.full) for kind in EVERY_KIND[2:])])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind."""
    async with database_of(request, tmp_path) as found:
        yield found


@pytest.fixture(params=EVERY_KIND)
async def every_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind, also in `make test`."""
    async with database_of(request, tmp_path) as found:
        yield found


@asynccontextmanager
async def database_of(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Open an empty database of the kind that a fixture's parameter names."""
    if request.param == "sqlite":
        async with sqlite_database(tmp_path) as sqlite:
            yield sqlite
        return
    server: PostgresServer = request.getfixturevalue("older_postgres" if request.param[-2:] == "15" else "postgres")
    way: Pooler | None = request.getfixturevalue("pooler") if request.param == "pgbouncer" else None
    async with postgres_database(server, way) as postgresql:
        yield postgresql
