"""What nodes share in PostgreSQL: the tables of work in progress, and the time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest
from sqlalchemy import Index, MetaData

from entrepot.metadata import clock, work_shape
from entrepot.metadata.clock_check import ClockWatch, Moment
from entrepot.metadata.columns import key, keyed, number, words
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.jobs import job_claims, job_runs, leases
from entrepot.metadata.jobs.job_runs import Wanted
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres, prepare
from entrepot.metadata.query import RawQuery
from entrepot.metadata.shared_clock import following
from entrepot.metadata.tables import metadata
from entrepot.metadata.work_tables import LOGGED, SCHEMA, work_metadata
from tests.support.database_fixtures import postgres
from tests.support.databases import connection_to, create_all, postgres_database
from tests.support.postgres import PostgresServer

__all__ = ["postgres"]

HOUR = 3600.0
_KINDS = RawQuery(
    "SELECT relname::text, relpersistence::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
    f" WHERE nspname = '{SCHEMA}' AND relkind = 'r'"
)
_LEASE = RawQuery("INSERT INTO work.leases (name, holder, expires_at) VALUES ('a', 'b', 1)")
_COUNT = RawQuery("INSERT INTO work.request_counts (name, count, ends_at) VALUES ('a', 1, 1)")


def set_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this host's wall clock be wrong."""
    real = time.time_ns
    patch.setattr(time, "time_ns", lambda: real() + int(seconds * 1e9))


async def test_only_what_must_outlive_a_failover_is_logged(postgres: PostgresServer) -> None:
    """Uploads and leases are kept by the server's log; the rest is unlogged, in a schema of its own."""
    async with postgres_database(postgres) as database:
        await work_shape.complete(database)
        found = dict(await database.all(_KINDS))
        assert found.keys() == {table.name for table in work_metadata.sorted_tables}
        assert {name for name, kind in found.items() if kind == "p"} == LOGGED
        before = database.statistics.transactions
        await work_shape.complete(database)
        assert database.statistics.transactions == before


async def test_a_crash_of_the_server_keeps_uploads_and_leases(postgres: PostgresServer) -> None:
    """After a backend was killed the unlogged tables are empty, and the leases are not."""
    async with postgres_database(postgres) as database:
        await work_shape.complete(database)
        await database.write(lambda tx: tx.execute(_LEASE))
        await database.write(lambda tx: tx.execute(_COUNT))
        async with connection_to(database) as connection:
            os.kill(connection.get_server_pid(), signal.SIGKILL)
        await _until_up(database)
        await work_shape.complete(database)
        assert await database.all(RawQuery("SELECT holder FROM work.leases")) == [("b",)]
        assert await database.all(RawQuery("SELECT name FROM work.request_counts")) == []


async def _until_up(database: Database) -> None:
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.2)
            with contextlib.suppress(DatabaseError):
                await database.all(RawQuery("SELECT 1"))
                return


async def test_many_nodes_may_start_at_once(postgres: PostgresServer) -> None:
    """Six that build the same tables at the same time all find them whole."""
    with postgres.database() as url:
        await asyncio.gather(*(prepare(url) for _ in range(6)))
        stores = await open_postgres(url, PostgresOptions(connections=2))
        assert len(await stores.work.all(_KINDS)) == len(work_metadata.sorted_tables)
        await stores.close()


async def test_a_newer_program_adds_and_an_older_one_goes_on(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that rows can do without are added to the rows that are there; another table is left alone."""
    tomorrow = MetaData(schema=SCHEMA)
    keyed(
        "leases",
        tomorrow,
        key("name"),
        words("holder"),
        number("expires_at"),
        number("since", default=7),
        words("why", null=True),
        Index("ix_leases_since", "since"),
    )
    async with postgres_database(postgres) as database:
        await work_shape.complete(database)
        await database.write(lambda tx: tx.execute(_LEASE))
        with monkeypatch.context() as patch:
            patch.setattr(work_shape, "work_metadata", tomorrow)
            await work_shape.complete(database)
        assert await database.all(RawQuery("SELECT holder, since, why FROM work.leases")) == [("b", 7, None)]
        await work_shape.complete(database)
        assert await database.write(lambda tx: leases.take(tx, "c", "d", seconds=60))


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
async def test_leases_obey_the_servers_clock(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """A node whose clock is an hour wrong neither takes a lease that is held, nor holds its own for another time."""
    async with postgres_database(postgres) as database:
        await work_shape.complete(database)
        assert await _take(database, "right", 60)
        with monkeypatch.context() as patch:
            set_clock(patch, skew)
            assert not await _take(database, "wrong", 60)
            assert await database.write(lambda tx: leases.take(tx, "other", "wrong", seconds=0.2, longest=60))
        await asyncio.sleep(0.3)
        assert await database.write(lambda tx: leases.take(tx, "other", "right", seconds=60, longest=60))


async def _take(database: Database, me: str, seconds: float) -> bool:
    return await database.write(lambda tx: leases.take(tx, "job", me, seconds=seconds, longest=60))


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
async def test_no_job_runs_twice_where_clocks_differ(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """A run that a node holds is not due for one whose clock is an hour wrong; that one begins what is due."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        async with following(database):
            held = await database.write(lambda tx: job_runs.ask(tx, Wanted(kind="probe")))
            assert await database.write(lambda tx: job_claims.claim(tx, held, "right", seconds=15))
            with monkeypatch.context() as patch:
                set_clock(patch, skew)
                assert await job_claims.due(database, "probe", 1, 10) == []
                assert await database.write(lambda tx: job_claims.claim(tx, held, "wrong", seconds=15)) is None
                other = await database.write(lambda tx: job_runs.ask(tx, Wanted(kind="other")))
                assert await job_claims.due(database, "other", 1, 10) == [other]


@pytest.mark.parametrize("skew", [-HOUR, 0, HOUR])
async def test_nodes_write_the_servers_time(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """Whatever a node's own clock says, what it writes down is the time of the server; afterwards it is its own."""
    async with postgres_database(postgres) as database:
        set_clock(monkeypatch, skew)
        async with following(database):
            assert abs(clock.now() - await database.now()) < 0.2 * clock.MICROSECONDS
            assert abs(clock.seconds() - time.monotonic() - (await database.now() / 1e6 - time.monotonic())) < 1
        assert clock.now() // 10**7 == time.time_ns() // 10**10


async def test_a_node_joins_whose_clock_nobody_doubts(postgres: PostgresServer) -> None:
    """Each host keeps a note of its own; one that is new, or stood still, goes by what the others just found."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        one, two = _Host("one", 5_000.0), _Host("two", 90_000.0)
        assert (await one.watch(database).look()).reason is None
        assert (await two.watch(database).look()).reason is None
        one.pass_time(600)
        two.pass_time(600)
        assert (await two.watch(database).look()).reason is None
        one.boottime -= 300  # as of a virtual machine that was held still
        assert (await one.watch(database).look()).reason is None


async def test_all_nodes_doubt_a_server_whose_clock_jumps(postgres: PostgresServer) -> None:
    """A jump of the shared clock is seen by each host, and by one that joins later; `accept` ends it for all."""
    from entrepot.metadata import clock_check  # noqa: PLC0415 - its functions read better with their module
    from entrepot.metadata.events import Source  # noqa: PLC0415 - as above

    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        one, two, new = _Host("one", 5_000.0), _Host("two", 90_000.0), _Host("new", 10.0)
        await one.watch(database).look()
        await two.watch(database).look()
        for host in (one, two, new):
            host.pass_time(300)
            host.wall += 10 * 24 * 3600 * clock.MICROSECONDS
        for host in (one, two, new):
            assert (await host.watch(database).look()).ahead > 0, host.boot
        await clock_check.accept(database, by=Source(name="operator", credential="operator"), now=two.now)
        for host in (one, two, new):
            assert (await host.watch(database).look()).reason is None, host.boot


class _Host:
    """A host's clocks: its own boot, and the wall clock that it shares."""

    def __init__(self, boot: str, boottime: float) -> None:
        self.boot, self.boottime, self.wall = boot, boottime, 1_800_000_000 * clock.MICROSECONDS

    def pass_time(self, seconds: float) -> None:
        self.boottime += seconds
        self.wall += int(seconds * clock.MICROSECONDS)

    def now(self) -> Moment:
        return Moment(boot=self.boot, boottime=self.boottime, wall=self.wall, is_shared=True)

    def watch(self, database: Database) -> ClockWatch:
        async def nothing() -> None:
            return

        return ClockWatch(database, set_back=nothing, now=self.now)


async def test_a_table_in_use_holds_up_nobody_for_long(postgres: PostgresServer) -> None:
    """Who changes tables while another transaction reads them steps back and tries again, until it may."""
    async with postgres_database(postgres) as database, postgres_database(postgres):
        await work_shape.complete(database)
        held, free = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with connection_to(database) as connection, connection.transaction():
                await connection.execute("SELECT 1 FROM work.leases")
                held.set()
                await free.wait()

        holding = asyncio.create_task(hold())
        await held.wait()
        building = asyncio.create_task(_add_column(database))
        await asyncio.sleep(2.5)
        assert not building.done()
        await asyncio.wait_for(database.all(RawQuery("SELECT name FROM work.leases")), 5)
        free.set()
        await holding
        await asyncio.wait_for(building, 20)


async def _add_column(database: Database) -> None:
    from entrepot.metadata.engine.ddl import change_tables  # noqa: PLC0415 - of this test alone

    async def work(tx: Transaction) -> None:
        await tx.execute(RawQuery("ALTER TABLE work.leases ADD COLUMN why text"))

    await change_tables(database, 1, work, name="add a column")
