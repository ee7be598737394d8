"""Which PostgreSQL servers are used, by which ways, and which are refused with a word on what to do."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from entrepot.metadata.engine import postgres_checks
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgres_connect import REQUESTS
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable, UnsuitableDatabase
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata
from tests.support.certificates import authority, identity
from tests.support.chaos import Rules, chaos
from tests.support.databases import create_all, postgres_database, through
from tests.support.notes import COUNT, putting
from tests.support.pgbouncer import Pooler, pgbouncer
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer, running_postgres

SOUND = postgres_checks.Server(150020, "on", "on", "on", "", "UTF8", 97)
ONE = RawQuery("SELECT 1")


@contextmanager
def silent_host() -> Iterator[int]:
    """Give a port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_pooler_that_refuses_the_read_only_default_is_told_of(postgres: PostgresServer) -> None:
    """pgbouncer as it comes refuses a setting it does not track; the message has the line for its configuration."""
    with pgbouncer(postgres, settings="") as pooler, pytest.raises(UnsuitableDatabase, match="track_extra_parameters"):
        await PostgresDatabase.open(pooler.url())


async def test_a_pooler_that_drops_the_read_only_default_is_refused(postgres: PostgresServer) -> None:
    """Told to ignore it, pgbouncer would let a statement outside a transaction write."""
    ignoring = "ignore_startup_parameters = default_transaction_read_only"
    with pgbouncer(postgres, settings=ignoring) as pooler, pytest.raises(UnsuitableDatabase, match="not in force"):
        await PostgresDatabase.open(pooler.url())


async def test_behind_a_pooler_no_setting_leaks_to_others(postgres: PostgresServer, pooler: Pooler) -> None:
    """The limits of a transaction end with it, and whoever gets the connection next finds the server's own."""
    async with postgres_database(postgres, pooler) as database:
        await create_all(database, metadata)
        await asyncio.gather(*(database.write(putting(f"note-{number}")) for number in range(20)))
        other = await asyncpg.connect(pooler.url(database._pool.connector.database))
        try:
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
                assert await other.fetchval(f"SHOW {name}") == "0"
            assert await other.fetchval("SHOW default_transaction_read_only") == "off"
            assert await other.fetchval("SHOW plan_cache_mode") == "auto"
        finally:
            await other.close()


async def test_a_pooler_that_restarts_costs_a_delay(postgres: PostgresServer) -> None:
    """pgbouncer killed and started again under writers: all is written, and nothing twice."""
    with pgbouncer(postgres) as pooler:
        async with postgres_database(postgres) as direct, through(pooler, direct) as database:
            await create_all(direct, metadata)
            results: list[object] = []

            async def writer(number: int) -> None:
                for step in range(15):
                    answer = await asyncio.gather(database.write(putting(f"{number}-{step}")), return_exceptions=True)
                    results.extend(answer)

            writing = asyncio.gather(*map(writer, range(8)))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(pooler.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(pooler.start)
            await writing
            assert {type(result) for result in results if result != 1} <= set(), results
            assert await direct.one(COUNT) == (len(results),)


async def test_a_pooler_without_prepared_statements_is_told_of(postgres: PostgresServer) -> None:
    """Two clients of one connection to the server: a statement that one prepared is not there for the other."""
    with pgbouncer(postgres, statements=0) as pooler:
        async with postgres_database(postgres) as direct, through(pooler, direct) as database:
            await create_all(direct, metadata)

            async def busy() -> None:
                for step in range(10):
                    questions = (database.one(COUNT) for _ in range(8))
                    await asyncio.gather(*questions, database.write(putting(f"{step}")))

            with pytest.raises(DatabaseError, match="prepared statement"):
                await busy()


async def test_the_primary_is_found_among_several_hosts(postgres: PostgresServer) -> None:
    """One that is down and one that says nothing hold up nobody; what is written arrives."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        name = database._pool.connector.database
        with silent_host() as silent:
            hosts = f"127.0.0.1:{free_port()},127.0.0.1:{silent},127.0.0.1:{postgres.port}"
            began = asyncio.get_running_loop().time()
            several = await PostgresDatabase.open(
                f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"
            )
            try:
                await several.write(putting("note"))
                assert await several.one(COUNT) == (1,)
                assert asyncio.get_running_loop().time() - began < REQUESTS.connect
            finally:
                await several.close()


async def test_a_primary_that_moves_is_followed(postgres: PostgresServer) -> None:
    """The host that was the primary says nothing any more: the other is asked, within the time of one question."""
    async with postgres_database(postgres) as direct:
        await create_all(direct, metadata)
        with chaos(postgres.port) as first, chaos(postgres.port) as second:
            second.rules = Rules(refuse=True)
            hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
            url = f"postgresql://postgres@{hosts}/{direct._pool.connector.database}"
            hasty = replace(REQUESTS, answer=2.0, question=2.0, transaction=3.0, statement=1.0)
            database = await PostgresDatabase.open(url, limits=hasty)
            try:
                await database.write(putting("first"))
                first.rules, second.rules = Rules(silent=True), Rules()
                with pytest.raises(DatabaseUnavailable):
                    await database.write(putting("never"))
                await database.write(putting("second"))
                assert await database.one(COUNT) == (2,)
            finally:
                first.rules = Rules()
                await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:topsecret@host:one,other:5432/entrepot",
        "postgresql://me:topsecret@host:one/entrepot",
        "postgresql://me:topsecret/more@host/entrepot",
        "postgresql://me:topsecret?more@host/entrepot",
        "postgresql://me:topsecret#more@host/entrepot",
    ],
)
async def test_an_address_that_cannot_be_read_is_not_quoted(url: str) -> None:
    """A password with a sign that divides an address stays out of the message, and out of what led to it."""
    with pytest.raises(DatabaseError, match="percent-encoded") as refused:
        await PostgresDatabase.open(url)
    assert "topsecret" not in "".join(traceback.format_exception(refused.value))


async def test_tls_is_as_the_address_says(tmp_path: Path) -> None:
    """`verify-full` takes the server whose certificate our authority signed, and no other; `require` goes encrypted."""
    ours, theirs = authority("ours"), authority("theirs")
    with running_postgres(tls=identity("localhost", ours)) as server:
        for name, one in (("ours", ours), ("theirs", theirs)):
            one.write(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        trusted = f"{server.url()}?sslmode=verify-full&sslrootcert={tmp_path / 'ours.pem'}"
        encrypted = RawQuery("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        for url in (trusted, f"{server.url()}?sslmode=require"):
            database = await PostgresDatabase.open(url)
            assert await database.one(encrypted) == (True,)
            await database.close()
        with pytest.raises(DatabaseUnavailable, match="TLS"):
            await PostgresDatabase.open(trusted.replace("ours", "theirs"))
    with running_postgres() as plain, pytest.raises(DatabaseUnavailable):
        await PostgresDatabase.open(f"{plain.url()}?sslmode=require")


async def test_an_older_version_and_a_pooler_serve_a_whole_registry(
    older_postgres: PostgresServer, pooler: Pooler
) -> None:
    """The tables are built, and are found as they should be at the next start."""
    for way in (older_postgres, pooler):
        server = older_postgres if way is older_postgres else pooler.server
        with server.database() as url:
            for _ in range(2):
                stores = await open_postgres(way.url(url.rpartition("/")[2]), PostgresOptions(connections=4))
                await stores.close()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("fsync", "off", "set fsync = on"),
        ("full_page_writes", "off", "set full_page_writes = on"),
        ("synchronous_commit", "off", "set synchronous_commit = on"),
    ],
)
async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(
    postgres: PostgresServer, setting: str, value: str, message: str
) -> None:
    """It is read from a real server, and the message says what to set."""
    with running_postgres(settings={setting: value}) as server, pytest.raises(UnsuitableDatabase, match=message):
        await open_postgres(server.url(), PostgresOptions(connections=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 130021}, "older than PostgreSQL 14"),
        ({"encoding": "SQL_ASCII"}, "ENCODING 'UTF8'"),
    ],
)
def test_what_else_a_server_must_be(change: dict[str, object], message: str) -> None:
    """Too old, or a database in another encoding."""
    postgres_checks.require_suitable(SOUND)
    with pytest.raises(UnsuitableDatabase, match=message):
        postgres_checks.require_suitable(replace(SOUND, **change))  # type: ignore[arg-type]


def test_a_standby_is_required_where_the_configuration_says_so() -> None:
    """`metadata.synchronous: require` refuses a server that would lose acknowledged writes in a failover."""
    for server in (SOUND, replace(SOUND, standbys="*", synchronous_commit="local")):
        with pytest.raises(UnsuitableDatabase, match="synchronous_standby_names"):
            postgres_checks.require_suitable(server, synchronous=True)
    postgres_checks.require_suitable(replace(SOUND, standbys="ANY 1 (*)"), synchronous=True)


def test_too_few_connections_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The sum of a node's connections is held against what the server has."""
    with caplog.at_level("INFO"):
        postgres_checks.say_connections(SOUND, processes=3, connections=8)
        postgres_checks.say_connections(SOUND, processes=3, connections=80)
    assert "33 connections" in caplog.messages[0]
    assert "2 such nodes" in caplog.messages[0]
    assert "raise max_connections" in caplog.messages[1]
