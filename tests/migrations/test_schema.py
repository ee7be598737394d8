"""The migrations build what `tables.py` describes, and go on from any earlier version."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, text

from entrepot.metadata import schema, tables
from entrepot.metadata.database import Database
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import SchemaTooNew
from entrepot.metadata.migrations import script
from entrepot.metadata.query import Query, RawQuery
from tests.migrations.shape import sqlite_shape
from tests.support.databases import create_all, postgres_database, sqlite_database
from tests.support.postgres import PostgresServer

_POSTGRES_OBJECTS = (
    RawQuery(
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name, is_identity "
        "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    ),
    RawQuery("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
    RawQuery(
        "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) "
        "FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1"
    ),
)


async def test_migrations_build_the_described_tables_on_sqlite(tmp_path: Path) -> None:
    """Built by migration or from tables.py, SQLite's tables and indexes are the same."""
    async with sqlite_database(tmp_path, "a.db") as migrated, sqlite_database(tmp_path, "b.db") as described:
        await schema.upgrade(migrated)
        await create_all(described, tables.metadata)
        found = await sqlite_shape(migrated)
        assert found == await sqlite_shape(described)
        assert len(found) > 30


async def test_migrations_build_the_described_tables_on_postgresql(postgres: PostgresServer) -> None:
    """Built by migration or from tables.py, PostgreSQL's columns, indexes and constraints are the same."""
    async with postgres_database(postgres) as migrated, postgres_database(postgres) as described:
        await schema.upgrade(migrated)
        await create_all(described, tables.metadata)
        for query in _POSTGRES_OBJECTS:
            found = await migrated.all(query)
            assert found == await described.all(query)
            assert len(found) > 20


async def test_upgrade_builds_and_then_leaves_alone(database: Database) -> None:
    """An empty database gets the newest schema; a second upgrade makes no transaction."""
    assert await schema.find(database) is None
    assert (await schema.upgrade(database)).version == schema.VERSION
    transactions = database.statistics.transactions
    assert (await schema.upgrade(database)).version == schema.VERSION
    assert database.statistics.transactions == transactions


async def test_two_upgrades_at_once_build_one_schema(postgres: PostgresServer) -> None:
    """Nodes that start together on PostgreSQL, where no lock file is shared, all come up with one schema."""
    async with postgres_database(postgres) as database:
        found = await asyncio.gather(*(schema.upgrade(database) for _ in range(4)))
        assert {each.version for each in found} == {schema.VERSION}
        rows = await database.all(RawQuery("SELECT version FROM schema"))
        assert rows == [(schema.VERSION,)]


async def set_minimum(database: Database, **values: int) -> None:
    """Pretend that a newer program has upgraded the database."""
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    await database.write(lambda transaction: transaction.execute(RawQuery(f"UPDATE schema SET {assignments}")))


async def test_a_newer_schema_that_allows_us_is_used(database: Database) -> None:
    """During a rolling upgrade the older program goes on beside the newer schema."""
    await schema.upgrade(database)
    await set_minimum(database, version=schema.VERSION + 1)
    assert (await schema.upgrade(database)).version == schema.VERSION + 1


@pytest.mark.parametrize("minimum", ["min_reader", "min_writer"])
async def test_a_schema_that_has_left_us_behind_is_refused(database: Database, minimum: str) -> None:
    """Below its minimum the program stops with a message that says what to do."""
    await schema.upgrade(database)
    await set_minimum(database, version=schema.VERSION + 2, **{minimum: schema.VERSION + 1})
    with pytest.raises(SchemaTooNew, match="start a newer Entrepot"):
        await schema.upgrade(database)


async def test_the_copy_is_made_before_an_existing_schema_changes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`before` runs for an older schema, with its version, and neither for an empty nor for a current one."""
    seen: list[int] = []

    async def before(version: int) -> None:
        seen.append(version)

    await schema.upgrade(database, before)
    await schema.upgrade(database, before)
    assert seen == []
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(script, "statements", lambda dialect, after, to, **_: [f"UPDATE schema SET version = {to}"])
    assert (await schema.upgrade(database, before)).version == schema.VERSION
    assert seen == [schema.VERSION - 1]


async def test_a_failing_migration_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is one transaction: its first half goes when its second fails."""
    before = await schema.upgrade(database)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    broken = ["ALTER TABLE settings ADD COLUMN note TEXT", "ALTER TABLE nowhere ADD COLUMN note TEXT"]
    monkeypatch.setattr(script, "statements", lambda dialect, after, to, **_: broken)
    with pytest.raises(Exception, match="nowhere"):
        await schema.upgrade(database)
    await database.write(lambda transaction: transaction.execute(RawQuery(broken[0])))
    assert await schema.find(database) == before


def test_an_upgrade_starts_with_the_earlier_post_half() -> None:
    """An upgrade is the earlier version's post half and the next one's pre half; from here to here it is nothing."""
    for dialect in (SQLITE, POSTGRESQL):
        assert script.statements(dialect, schema.VERSION, schema.VERSION) == []
        assert script.statements(dialect, 0, 1)[-1].startswith("INSERT INTO schema")


async def test_ids_are_never_given_twice(database: Database) -> None:
    """A number is not used again after its row is gone, so nothing kept elsewhere can point at a stranger."""
    await schema.upgrade(database)
    add = Query(
        lambda d: d.insert(tables.projects).values(name=bindparam("name"), created_at=0).returning(tables.projects.c.id)
    )
    first = await database.write(lambda transaction: transaction.one(add, name="a"))
    await database.write(lambda transaction: transaction.execute(RawQuery("DELETE FROM projects")))
    second = await database.write(lambda transaction: transaction.one(add, name="a"))
    assert first is not None
    assert second is not None
    assert second[0] > first[0]
    assert await database.one(Query(select(text("count(*)")).select_from(tables.projects))) == (1,)
