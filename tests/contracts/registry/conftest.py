"""A registry over each database, with blobs in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.metadata.database import Database
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.work_tables import work_metadata as work_tables
from entrepot.registry.ports import BlobStore
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from tests.contracts.registry.pushing import Pusher
from tests.support.databases import create_all
from tests.support.postgres import running_postgres


@dataclass(frozen=True, slots=True)
class Kit:
    """What a registry is built over."""

    metadata: Database
    work: Database
    store: BlobStore

    def registry(self, **settings: object) -> Registry:
        """Build a registry with these settings."""
        return build_registry(
            metadata=self.metadata,
            work=self.work,
            store=self.store,
            settings=RegistrySettings(**settings),  # type: ignore[arg-type] - the tests name real fields
        )


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for all tests here; each empties it first."""
    with running_postgres() as server:
        yield server.url()


@asynccontextmanager
async def sqlite(tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    metadata, work = SqliteDatabase(tmp_path / "metadata.db"), SqliteDatabase(tmp_path / "work.db")
    yield metadata, work
    await metadata.close()
    await work.close()


@asynccontextmanager
async def _postgresql(url: str) -> AsyncIterator[tuple[Database, Database]]:
    database = await PostgresDatabase.open(url, connections=4)
    for statement in ("DROP SCHEMA IF EXISTS work CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        await database.write(lambda tx, text=statement: tx.execute(RawQuery(text)))
    yield database, database
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Empty databases of one kind and an empty store."""
    is_sqlite = request.param == "sqlite"
    opened = sqlite(tmp_path) if is_sqlite else _postgresql(request.getfixturevalue("postgres_url"))
    async with opened as (metadata, work):
        await create_all(metadata, metadata_tables)
        await create_all(work, work_tables)
        yield Kit(metadata, work, MemoryBlobStore())


@pytest.fixture
def registry(kit: Kit) -> Registry:
    """A registry with default settings."""
    return kit.registry()


@pytest.fixture
def sparse_registry(kit: Kit) -> Registry:
    """A registry that takes indexes with missing manifests."""
    return kit.registry(requires_platform=lambda _architecture, _os: False)


@pytest.fixture
def keeping_registry(kit: Kit) -> Registry:
    """A registry that deletes nothing."""
    return kit.registry(delete_enabled=False)


@pytest.fixture
def read_only_registry(kit: Kit) -> Registry:
    """A registry in maintenance."""
    return kit.registry(read_only=lambda: True)


@pytest.fixture
def impatient_registry(kit: Kit) -> Registry:
    """A registry that waits for a collector for a moment only."""
    return kit.registry(deleting_wait_seconds=0.1)


@pytest.fixture
def pusher(registry: Registry) -> Pusher:
    """Somebody who pushes to team/app."""
    return Pusher(registry)
