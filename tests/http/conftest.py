"""A registry for each test, and a client that talks to it without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.http.transport import AsgiClient
from tests.support.app import App, AppOptions, Opener, open_app
from tests.support.database_fixtures import postgres
from tests.support.databases import registry_database

__all__ = ["postgres"]

#: What runs on PostgreSQL in every `make test`: manifests, uploads, rights, lists, jobs, the audit log.
#: All else does in `make test-full`.
ON_POSTGRES = {
    "test_access",
    "test_audit_logs",
    "test_jobs",
    "test_lists",
    "test_manifests",
    "test_members",
    "test_quotas",
    "test_token",
    "test_uploads",
}
#: What is about SQLite itself.
ON_SQLITE = {
    "test_response_cache": "nothing proves to a process that no other has committed to PostgreSQL",
    "test_only_who_may_delete_finds_room_on_a_full_disk": "what is put aside is so on the disk of SQLite's files",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what opens a registry on both databases."""
    if "database" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        marks = [] if name in ON_POSTGRES else [pytest.mark.full]
        only = ON_SQLITE.keys() & {name, metafunc.function.__name__}
        kinds = ["sqlite", *([] if only else [pytest.param("postgresql", marks=marks)])]
        metafunc.parametrize("database", kinds, indirect=True)


@pytest.fixture
async def database(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Give the address of a PostgreSQL database; an empty one for SQLite."""
    if request.param == "sqlite":
        yield ""
        return
    async with registry_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
async def open_registry(tmp_path: Path, database: str) -> AsyncIterator[Opener]:
    """Give a function that runs a registry with the options of `AppOptions` for the length of the test."""
    async with AsyncExitStack() as stack:

        async def opener(**options: Any) -> App:
            app: AbstractAsyncContextManager[App] = open_app(tmp_path, AppOptions(database=database, **options))
            return await stack.enter_async_context(app)

        yield opener


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry that is open to everybody."""
    return await open_registry()


@pytest.fixture
def client(app: App) -> AsgiClient:
    """Give a client of that registry."""
    return app.client()
