"""A real database and a vault over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.metadata.database import Database
from entrepot.metadata.tables import metadata
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.support.databases import create_all, sqlite_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database with all tables."""
    async with sqlite_database(tmp_path) as opened:
        await create_all(opened, metadata)
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> KeySource:
    """The key of a state folder, made at first need."""
    return KeySource(tmp_path / "state", {})


@pytest.fixture
def vault(database: Database, source: KeySource) -> Vault:
    """A vault over both."""
    return Vault(database, source)
