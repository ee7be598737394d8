"""A real database, and the parts of access built over it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.access.keys import SigningKeys, load_or_create
from entrepot.metadata.database import Database
from entrepot.metadata.ddl import create_all
from entrepot.metadata.sqlite import SqliteDatabase
from entrepot.metadata.tables import metadata


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that only the test moves."""
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open an empty database with all tables."""
    opened = SqliteDatabase(tmp_path / "metadata.db")
    await create_all(opened, metadata)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    """Make one set of signing keys for all tests."""
    return load_or_create(tmp_path_factory.mktemp("keys"))
