"""What only the PostgreSQL executor has to do: other people's locks, lost connections, a server that is not there."""

import asyncio
from dataclasses import replace

import pytest

from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.postgres import Conflict, PostgresDatabase
from entrepot.metadata.engine.postgres_connect import REQUESTS
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.errors import ConstraintViolated, DatabaseUnavailable, TookTooLong
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all, postgres_database, through
from tests.support.notes import COUNT, GET, KEYS, putting
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The driver's error does not come out."""
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL"):
        await PostgresDatabase.open(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")


async def test_a_database_that_is_not_there_is_unavailable(postgres: PostgresServer) -> None:
    """A wrong name in the address is told as what it is."""
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        await PostgresDatabase.open(postgres.url("nowhere"))


async def test_a_lost_connection_fails_its_transaction_alone(postgres: PostgresServer) -> None:
    """The transaction whose connection was cut fails and writes nothing; the next one gets a new connection."""
    async with postgres_database(postgres) as database, postgres_database(postgres) as other:
        await create_all(database, metadata)

        async def work(transaction: Transaction) -> None:
            await putting("lost")(transaction)
            # A second connection cuts the first one, in the midst of its transaction.
            await transaction.one(RawQuery("SELECT pg_terminate_backend(pg_backend_pid())"))

        with pytest.raises(DatabaseUnavailable):
            await database.write(work)
        await database.write(putting("kept"))
        assert await database.all(KEYS) == [("kept",)]
        assert await other.one(RawQuery("SELECT 1")) == (1,)


async def test_a_lost_conflict_is_run_again(postgres: PostgresServer) -> None:
    """A transaction that lost against another one runs again from its beginning, on a clean slate."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        runs: list[int] = []

        async def work(transaction: Transaction) -> int:
            runs.append(len(runs))
            await putting("note")(transaction)
            if len(runs) < 3:
                await transaction.execute(RawQuery("DO $$ BEGIN RAISE serialization_failure; END $$"))
            return len(runs)

        assert await database.write(work) == 3
        assert await database.one(COUNT) == (1,)


async def test_conflicts_without_end_are_given_up(postgres: PostgresServer) -> None:
    """After some tries the caller is told, and nothing was written."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)

        async def work(transaction: Transaction) -> None:
            await putting("note")(transaction)
            await transaction.execute(RawQuery("DO $$ BEGIN RAISE deadlock_detected; END $$"))

        with pytest.raises(Conflict):
            await database.write(work)
        assert await database.one(COUNT) == (0,)


async def test_errors_do_not_quote_rows(postgres: PostgresServer) -> None:
    """PostgreSQL's detail, which quotes the values of the row, stays out of the message."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        await database.write(putting("topsecret"))
        with pytest.raises(ConstraintViolated) as refused:
            await database.write(putting("topsecret"))
        assert "topsecret" not in str(refused.value)
        assert "pk_settings" in str(refused.value)


async def test_a_cancelled_transaction_gives_its_connection_back(postgres: PostgresServer) -> None:
    """More cancelled transactions than connections leave the pool whole and the locks free."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)

        async def work(transaction: Transaction) -> None:
            await putting("note")(transaction)
            await transaction.one(RawQuery("SELECT pg_sleep(10)"))

        for _ in range(15):
            task = asyncio.create_task(database.write(work))
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(database.write(putting("note")), timeout=10)
        assert await database.one(GET, key="note") == ("",)


async def test_a_list_that_takes_too_long_is_ended_by_the_server(postgres: PostgresServer) -> None:
    """People are told to ask for less; the server works on it no longer, and the connection is free again."""
    hasty = replace(REQUESTS, question=0.5)
    async with postgres_database(postgres) as direct, through(postgres, direct, limits=hasty) as database:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TookTooLong):
            await patient(database).all(RawQuery("SELECT pg_sleep(20)"))
        assert asyncio.get_running_loop().time() - began < 1.4
        assert await direct.all(RawQuery("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)'")) == []
        assert await patient(database).one(RawQuery("SELECT 1")) == (1,)
