"""A directory for all tests of this folder, and one of its own for those that change it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from entrepot.access.roles import ensure_roles
from entrepot.adapters.identity.ldap.directory import LdapDirectory
from entrepot.adapters.identity.ldap.settings import from_config
from entrepot.config.schema.ldap import Ldap
from entrepot.metadata.database import Database
from entrepot.metadata.tables import metadata
from tests.support.database_fixtures import database, every_database, older_postgres, pooler, postgres
from tests.support.databases import create_all, sqlite_database
from tests.support.slapd import Slapd, slapd

__all__ = ["database", "every_database", "older_postgres", "pooler", "postgres"]

Connect = Callable[..., LdapDirectory]


@pytest.fixture(scope="session")
def shared_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Give a directory of 1,000 people and three groups that nobody changes."""
    with slapd(tmp_path_factory.mktemp("slapd"), people=1000) as server:
        yield server


@pytest.fixture
def own_slapd(tmp_path: Path) -> Iterator[Slapd]:
    """Give a small directory that a test may change."""
    with slapd(tmp_path / "slapd") as server:
        yield server


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Database]:
    """Give an empty SQLite database with all tables and roles."""
    async with sqlite_database(tmp_path) as made:
        await create_all(made, metadata)
        await ensure_roles(made)
        yield made


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Give a function that makes our side of a directory from a section of the configuration."""
    async with AsyncExitStack() as stack:

        def make(section: dict[str, Any]) -> LdapDirectory:
            directory = LdapDirectory(from_config(Ldap.model_validate(section)))
            stack.push_async_callback(directory.close)
            return directory

        yield make
