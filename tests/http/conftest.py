"""A registry for each test, and a client that talks to it without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from tests.http.transport import AsgiClient
from tests.support.app import App, AppOptions, Opener, open_app
from tests.support.database_fixtures import postgres
from tests.support.databases import registry_database
from tests.support.object_stores import cloud_opener

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
    "test_a_moved_tag_is_seen_at_once",
    "test_an_answer_is_for_whoever_was_admitted",
}
#: What the specification is about, in `make test-full` also on PostgreSQL and S3.
ON_S3 = {"test_base", "test_blobs", "test_lists", "test_manifests", "test_mounts", "test_paths", "test_uploads"}
#: What is about SQLite itself.
ON_SQLITE = {
    "test_what_another_process_commits_counts_too": "PostgreSQL is asked for the one row, whatever else was committed",
    "test_a_commit_while_an_answer_is_worked_out_keeps_it_from_being_remembered": "its row is asked for each time",
    "test_only_who_may_delete_finds_room_on_a_full_disk": "what is put aside is so on the disk of SQLite's files",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what opens a registry on both databases."""
    if "database" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        marks = [] if ON_POSTGRES & {name, metafunc.function.__name__} else [pytest.mark.full]
        only = ON_SQLITE.keys() & {name, metafunc.function.__name__}
        kinds = ["sqlite", *([] if only else [pytest.param("postgresql", marks=marks)])]
        if name in ON_S3:
            kinds.append(pytest.param("postgresql and s3", marks=pytest.mark.full))
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
async def in_s3(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, ObjectBlobStore]]:
    """Give the option of a store in S3, where the test's registry has one."""
    if not request.node.callspec.params["database"].endswith("s3"):
        yield {}
        return
    store = ObjectBlobStore(await cloud_opener("s3", request)())
    yield {"store": store}
    await store.close()


@pytest.fixture
async def open_registry(tmp_path: Path, database: str, in_s3: dict[str, ObjectBlobStore]) -> AsyncIterator[Opener]:
    """Give a function that runs a registry with the options of `AppOptions` for the length of the test."""
    async with AsyncExitStack() as stack:

        async def opener(**options: Any) -> App:
            wanted = AppOptions(database=database, **{**in_s3, **options})
            app: AbstractAsyncContextManager[App] = open_app(tmp_path, wanted)
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
