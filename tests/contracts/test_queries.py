"""Every statement of the metadata package, on both databases."""

import time
from pathlib import Path

from sqlalchemy import bindparam

from entrepot.metadata import tables, work_tables
from entrepot.metadata.contents import catalog, projects
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import Query
from tests.support.databases import connection_to, create_all, postgres_database, sqlite_database
from tests.support.plans import full_scans, query_plan
from tests.support.postgres import PostgresServer
from tests.support.queries import all_queries

_ADD_REPOSITORY = Query(
    lambda d: d.insert(tables.repositories).values(
        project_id=bindparam("project_id"),
        name=bindparam("name"),
        sort_key=bindparam("sort_key"),
        adopted=0,
        created_at=0,
    ),
    "test.add_repository",
)
#: Written for one database alone.
ONE_DATABASE = {
    "postgres._NOW",
    "ddl._LOCK_TIMEOUT",
    "event_months._LIST",
    "move_mark._IS_THERE[sqlite]",
    "move_mark._IS_THERE[postgresql]",
    "move_mark._STATE",
    "postgres_checks._SETTINGS",
    *(f"postgres_damage.{name}" for name in ("_FAILURES", "_CAN_LOOK", "_INDEXES", "_LOOK")),
    "work_shape._VERSION",
    *(f"work_shape.{name}[{kind}]" for name in ("_COLUMNS", "_INDEXES") for kind in ("sqlite", "postgresql")),
}
#: May read a whole table, because it has one row, a few rows, or only rows that are about to go.
SMALL = {
    "analyses._LAST": "the last finished, the one at hand, and those that are being removed",
    "analyses._OPEN": "as above",
    "event_months._OF_MONTH": "on PostgreSQL alone, and one month, once it is over",
    "data_keys._ALL": "a rotation looks at all, and leaves few",
    "data_keys._NEWEST": "takes one, from the end",
    "usage_recount._COMPARED": "the sums of one project, for a check-up and once after an upgrade",
    "changes._NUMBERS": "a row for each of the few things that processes follow",
    "leases._HELD": "a row for each job that one process does at a time",
    "schema._IS_BUILT": "SQLite's own list of tables",
    "schema._GET": "one row",
    "grants._REMOVE_FROM": "a change of configuration",
    "nodes._FORGET": "a row for each node",
    "nodes._LIST": "as above",
    "roles._LIST": "lists all; roles are few",
    "roles._BUILT_IN": "roles are few",
    "statistics._PROJECTS": "a figure for people, at most once a minute, beside the event loop",
    "statistics._REPOSITORIES": "as above",
    "job_claims._KINDS": "an index of the runs that have not ended",
    "job_queues._LENGTHS": "as above, every five seconds and for people",
    "job_claims._PULL_DUE": "as above, when the clock was set back",
    "job_claims._PULL_LEASE": "as above",
    "events._LAST_TIME": "the end of the key",
    "job_queues._PAUSED": "at most one row for each kind of job",
    "kept_sums._WRONG_BYTES": "a check-up, which reads everything, beside the event loop",
    "derived_rows._QUEUED": "a check-up, which reads everything",
    "verification._TOTALS": "the length of a bar, once for each pass of a scrub",
    "findings._COUNT": "an index of what is damaged now",
    "outbox._FORGET": "once, after a restoration, before anybody serves",
    "outbox._NEXT": "reads from the beginning, with a limit",
    "outbox._LATEST": "the end of the key",
    "review._NEXT": "the beginning of an index",
    "review._COUNT": "a metric, beside the event loop",
    "review._UNNEEDED": "the queue, while the disk is low, beside the event loop",
    "outbox._BACKLOG": "a metric; the outbox holds what is not yet done",
    **{
        f"audit_log.{name}": "looks through a window that was found by key"
        for name in (
            kind + of for kind in ("_PAGE", "_SORTED", "_COUNT", "_LAST") for of in ("", "_OF_PROJECT", "_OF_ACTOR")
        )
    },
    "audit_log._UNSEALED": "an index of what waits for the sealer",
    "upload_sessions._OPEN": "stops at the most sessions that there may be",
}
#: Read all of one repository because that is what they are for, or look only whether it has anything.
WHOLE_REPOSITORY = {
    "repository_contents._TAGS",
    "repository_contents._MANIFESTS",
    "repository_contents._BLOBS",
    "catalog._ALL",
    "catalog._OF_PROJECTS",
    "catalog._NAMED",
    "repository_removal._HAS_MANIFESTS",
    "tags._IS_USED",  # the first is enough
    "tags._MOVE_HISTORY",  # some of it at a time
    "trash._SOME_OF_REPOSITORY",  # the same
    "repository_lists._ONE",  # its newest manifest only
    "repository_lists._ENDS",  # the same, and its oldest
    "largest_repositories._NOW",  # of a project with few manifests, when a push was refused
    "trash_usage._BLOBS",  # of a project's trash, when a push was refused that emptying it might help
    "trash_usage._MANIFESTS",  # the same
    "trash_usage._COUNT",  # of what somebody empties
    "trash_usage._COUNT_OF_PROJECT",  # the same
    "usage_recount._COMPARED",  # adds up from nothing, for `entrepot doctor`
    "kept_sums._WRONG_COUNTS",  # the same
    "kept_sums._RECOUNT",  # the same
}


async def test_every_statement_prepares_on_postgresql(postgres: PostgresServer) -> None:
    """PostgreSQL accepts the text and the types of every statement."""
    async with postgres_database(postgres) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        async with connection_to(database) as connection:
            for name, query in all_queries().items():
                if name not in ONE_DATABASE:
                    assert await connection.prepare(query.compiled(POSTGRESQL).text), name


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


async def test_a_page_of_the_catalog_costs_what_the_reader_may_see(tmp_path: Path) -> None:
    """Among 100,000 repositories of others, one's own few are found in microseconds; so is a page of very many."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, tables.metadata)
        await database.write(_fill_catalog)
        small = await catalog.names(database, limit=101, last="", projects=["zz"])
        assert small == [f"zz/r{number}" for number in range(5)]
        assert await _seconds(database, ["zz"]) < 0.001
        both = await catalog.names(database, limit=101, last="huge/r099990", projects=["zz", "huge", "absent"])
        assert both == [f"huge/r{number:06}" for number in range(99_991, 100_000)] + small
        assert await _seconds(database, ["huge", "zz"]) < 0.01


async def _seconds(database: SqliteDatabase, projects: list[str]) -> float:
    """Take the best of five times of this thread, since the machine has other things to do too."""
    times = []
    for _ in range(5):
        started = time.thread_time()
        await catalog.names(database, limit=101, last="", projects=projects)
        times.append(time.thread_time() - started)
    return min(times)


async def _fill_catalog(tx: Transaction) -> None:
    """Give one project 100,000 repositories and another five, all of them adopted by name alone."""
    for name, texts in (("huge", [f"r{n:06}" for n in range(100_000)]), ("zz", [f"r{n}" for n in range(5)])):
        project = await projects.ensure(tx, name)
        rows = [{"project_id": project.id, "name": f"{name}/{text}", "sort_key": f"{name}\x01{text}"} for text in texts]
        await tx.many(_ADD_REPOSITORY, rows)


async def test_a_full_scan_is_seen(tmp_path: Path) -> None:
    """The helper behind the test above does notice a scan, and leaves a search alone."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, tables.metadata)
        await create_all(database, work_tables.work_metadata)
        queries = all_queries()
        assert full_scans(database, queries["roles._LIST"])
        assert query_plan(database, queries["tags._CURRENT"])
        assert full_scans(database, queries["tags._CURRENT"]) == []


def test_every_statement_has_a_name() -> None:
    """A statement's name tells it in logs and errors; no two statements share one."""
    names = [query.name for query in all_queries().values()]
    assert all(names)
    assert len(set(names)) == len(names)
