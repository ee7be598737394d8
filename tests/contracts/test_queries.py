"""Every statement of the metadata package, on both databases."""

from pathlib import Path

from entrepot.metadata import tables, work_tables
from entrepot.metadata.ddl import create_all
from entrepot.metadata.postgresql_dialect import POSTGRESQL
from tests.support.databases import postgres_database, sqlite_database
from tests.support.plans import full_scans, query_plan
from tests.support.postgres import PostgresServer
from tests.support.queries import all_queries

#: Written for one database alone.
ONE_DATABASE = {"schema._ONE_NODE", "opening._WORK_VERSION"}
#: May read a whole table, because it has one row, a few rows, or only rows that are about to go.
SMALL = {
    "schema._IS_BUILT": "SQLite's own list of tables",
    "schema._GET": "one row",
    "grants._LIST": "lists all",
    "grants._FOR": "grants are few, and most are for an audience",
    "grants._REMOVE_FROM": "a change of configuration",
    "outbox._NEXT": "reads from the beginning, with a limit",
    "outbox._BACKLOG": "a metric; the outbox holds what is not yet done",
    "sessions._COUNT": "a metric; open uploads only",
}
#: Read all of one repository because that is what they are for, or look only whether it has anything.
WHOLE_REPOSITORY = {
    "contents._TAGS",
    "contents._MANIFESTS",
    "contents._BLOBS",
    "repositories._CATALOG",
    "repositories._CATALOG_OF_PROJECTS",
}


async def test_every_statement_prepares_on_postgresql(postgres: PostgresServer) -> None:
    """PostgreSQL accepts the text and the types of every statement."""
    async with postgres_database(postgres) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        connection = await database._pool.acquire()
        for name, query in all_queries().items():
            if name not in ONE_DATABASE:
                assert await connection.prepare(query.compiled(POSTGRESQL).text), name
        await database._pool.release(connection)


async def test_no_statement_reads_a_table_that_grows(tmp_path: Path) -> None:
    """SQLite finds the rows of every statement by key, except where reading all is meant or little."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        queries = {name: query for name, query in all_queries().items() if name not in ONE_DATABASE}
        assert len(queries) > 50
        scans = {name: full_scans(database, query) for name, query in queries.items()}
        assert {name: steps for name, steps in scans.items() if steps and name not in SMALL} == {}


async def test_no_statement_reads_a_whole_repository(tmp_path: Path) -> None:
    """A push to a repository of a hundred thousand images costs what it costs in an empty one."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        queries = {name: query for name, query in all_queries().items() if name not in ONE_DATABASE}
        plans = {name: query_plan(database, query) for name, query in queries.items()}
        whole = {name for name, steps in plans.items() if any("(repository_id=?)" in step for step in steps)}
        assert whole == WHOLE_REPOSITORY


async def test_a_full_scan_is_seen(tmp_path: Path) -> None:
    """The helper behind the test above does notice a scan, and leaves a search alone."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        queries = all_queries()
        assert full_scans(database, queries["grants._LIST"])
        assert query_plan(database, queries["tags._CURRENT"])
        assert full_scans(database, queries["tags._CURRENT"]) == []


def test_every_statement_has_a_name() -> None:
    """A statement's name tells it in logs and errors; no two statements share one."""
    names = [query.name for query in all_queries().values()]
    assert all(names)
    assert len(set(names)) == len(names)
