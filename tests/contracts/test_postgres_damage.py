"""The check-up says what PostgreSQL itself finds wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgres_damage import find_damage
from entrepot.telemetry.progress import Unwatched
from tests.support.databases import connection_to, registry_database
from tests.support.postgres import PostgresServer


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[PostgresDatabase]:
    """Give a registry's database."""
    async with registry_database(postgres) as url:
        opened = await PostgresDatabase.open(url)
        try:
            yield opened
        finally:
            await opened.close()


async def changed(database: PostgresDatabase, *statements: str) -> None:
    """Run statements as the database's owner would."""
    async with connection_to(database) as connection:
        for statement in statements:
            await connection.execute(f"BEGIN READ WRITE; {statement}; COMMIT")


async def test_a_whole_database_has_nothing_wrong(database: PostgresDatabase) -> None:
    """Neither with the extension that looks at indexes nor without it."""
    assert await find_damage(database, Unwatched()) == []
    await changed(database, "CREATE EXTENSION amcheck")
    assert await find_damage(database, Unwatched()) == []


async def test_an_index_that_misses_rows_is_named(database: PostgresDatabase) -> None:
    """The server's own check finds it; the report says how it is mended."""
    await changed(
        database,
        "CREATE EXTENSION amcheck",
        "CREATE FUNCTION lies(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
        "CREATE TABLE shaky AS SELECT generate_series(1, 100)::bigint AS id",
        "CREATE INDEX ix_shaky ON shaky (lies(id))",
        "CREATE OR REPLACE FUNCTION lies(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT -$1'",
    )
    found = await find_damage(database, Unwatched())
    assert len(found) == 1
    assert found[0].startswith("the index public.ix_shaky")
    assert "REINDEX INDEX public.ix_shaky" in found[0]
    assert await find_damage(database, Unwatched(), sample=0.0) == []


async def test_who_may_not_call_the_check_is_told_nothing_wrong(database: PostgresDatabase) -> None:
    """Without the right the indexes are left out; that is no damage."""
    await changed(database, "CREATE EXTENSION amcheck", "DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN")
    name = database._pool.connector.database
    port = database._pool.connector._url.rpartition(":")[2].partition("/")[0]
    opened = await PostgresDatabase.open(f"postgresql://clerk@127.0.0.1:{port}/{name}")
    try:
        assert await find_damage(opened, Unwatched()) == []
    finally:
        await opened.close()
