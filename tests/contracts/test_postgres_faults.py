"""A PostgreSQL server that is cut off, falls silent, stops or loses answers: who waits, how long, and what is true."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest

from entrepot.metadata.database import Transaction
from entrepot.metadata.engine import postgres_commit
from entrepot.metadata.engine.postgres import OutcomeUnknown, PostgresDatabase
from entrepot.metadata.engine.postgres_commit import Note, Outcome
from entrepot.metadata.engine.postgres_connect import Connector, Limits
from entrepot.metadata.engine.postgres_pool import connect_until
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata
from entrepot.telemetry.instruments import Metrics
from tests.support.chaos import Cut, Relay, Rules, chaos
from tests.support.databases import connection_to, create_all, postgres_database, through
from tests.support.notes import COUNT, GET, KEYS, putting
from tests.support.postgres import PostgresServer, running_postgres

#: Shorter than a server's, so that tests need not wait for it.
HASTY = Limits(answer=1.0, question=1.0, connect=0.5, transaction=2.0, lock=0.5, statement=1.0, idle=5.0)
ONE = RawQuery("SELECT 1")


@pytest.fixture
async def relay(postgres: PostgresServer) -> AsyncIterator[Relay]:
    """A relay to the server."""
    with chaos(postgres.port) as running:
        yield running


async def seconds(work: Awaitable[object]) -> float:
    """Wait for work that fails for want of a database, and return how long that took."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await work
    return time.monotonic() - began


async def test_a_silent_server_costs_a_question_the_limit_and_no_more(postgres: PostgresServer, relay: Relay) -> None:
    """Reads, writes and those that wait for a connection are refused in time; all is well once it speaks."""
    async with postgres_database(postgres) as direct, through(relay, direct, limits=HASTY) as database:
        await create_all(direct, metadata)
        await database.write(putting("before"))
        relay.rules = Rules(silent=True)
        asked = [seconds(database.one(ONE)) for _ in range(20)] + [
            seconds(database.write(putting("x"))) for _ in range(20)
        ]
        assert max(await asyncio.gather(*asked)) < HASTY.transaction + 0.5
        relay.rules = Rules()
        began = time.monotonic()
        await database.write(putting("after"))
        assert time.monotonic() - began < 5
        assert await asyncio.gather(*(database.one(COUNT) for _ in range(20))) == [(2,)] * 20


async def test_frozen_backends_are_replaced(postgres: PostgresServer) -> None:
    """Server processes that stand still in the midst of everything cost each caller its limit; then others serve."""
    async with postgres_database(postgres) as admin, through(postgres, admin, limits=HASTY) as database:
        await create_all(admin, metadata)
        await asyncio.gather(*(database.write(putting(f"warm-{number}")) for number in range(8)))
        frozen = [row[0] for row in await admin.all(RawQuery(_OTHERS))]
        assert frozen
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            works = [database.write(putting(f"frozen-{number}")) for number in range(16)]
            began = time.monotonic()
            results = await asyncio.gather(*works, return_exceptions=True)
            assert time.monotonic() - began < HASTY.transaction + 0.5
            assert all(result is None or isinstance(result, DatabaseUnavailable) for result in results), results
            # They still stand; new connections are made beside them.
            await database.write(putting("meanwhile"))
            assert await database.one(GET, key="meanwhile") == ("",)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


async def test_a_cut_connection_costs_a_question_nothing(postgres: PostgresServer, relay: Relay) -> None:
    """Reads whose connection is reset are asked again, writes before their COMMIT too."""
    metrics = Metrics()
    async with postgres_database(postgres) as direct, through(relay, direct, metrics=metrics) as database:
        await create_all(direct, metadata)
        for number in range(10):
            work = asyncio.gather(*(database.one(COUNT) for _ in range(8)), database.write(putting(f"note-{number}")))
            await asyncio.sleep(0.001 * number)
            relay.cut_all()
            try:
                await work
            except OutcomeUnknown:
                pytest.fail("the server was there to be asked")
        assert await database.one(COUNT) == (10,)


async def test_a_server_that_restarts_costs_a_delay(postgres: PostgresServer, relay: Relay) -> None:
    """While connections are refused for a moment, callers wait and are then served."""
    async with postgres_database(postgres) as direct, through(relay, direct) as database:
        await create_all(direct, metadata)
        relay.rules = Rules(refuse=True)
        relay.cut_all()
        work = asyncio.gather(database.write(putting("note")), *(database.one(COUNT) for _ in range(10)))
        await asyncio.sleep(0.5)
        relay.rules = Rules()
        await work
        assert await database.one(COUNT) == (1,)


async def test_delays_and_a_narrow_line_only_cost_time(postgres: PostgresServer, relay: Relay) -> None:
    """200 ms more or less for each piece, and 64 KiB a second, fail nothing."""
    async with postgres_database(postgres) as direct, through(relay, direct) as database:
        await create_all(direct, metadata)
        relay.rules = Rules(delay=0.02, jitter=0.01, rate=64 * 1024)
        await asyncio.gather(*(database.write(putting(f"note-{number}")) for number in range(8)))
        assert await database.one(COUNT) == (8,)


async def test_a_changed_byte_is_an_error_of_ours(postgres: PostgresServer, relay: Relay) -> None:
    """Whatever byte of an answer is changed on the way: the driver's own errors do not come out."""
    async with postgres_database(postgres) as direct:
        await create_all(direct, metadata)
        for place in random.Random(7).sample(range(1, 700), 25):
            relay.rules = Rules(flip_at=place)
            try:
                async with through(relay, direct, limits=HASTY) as database:
                    await database.write(putting(f"note-{place}"))
            except DatabaseError:
                pass


@pytest.mark.parametrize("cuts", [40, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("way", ["direct", "pooler"])
async def test_a_commit_without_an_answer_is_looked_up(
    request: pytest.FixtureRequest, postgres: PostgresServer, relay: Relay, cuts: int, way: str
) -> None:
    """COMMIT cut off before the server, at it and behind it: what the caller is told is what the database has."""
    if way == "pooler":
        relay.target = ("127.0.0.1", request.getfixturevalue("pooler").port)
    choice, outcomes, metrics = random.Random(11), Counter[str](), Metrics()
    async with postgres_database(postgres) as direct, through(relay, direct, metrics=metrics) as database:
        await create_all(direct, metadata)
        relay.rules = Rules(marker=b"COMMIT\0", cut=Cut.ANSWER)
        relay.choose = lambda: choice.choice([Cut.BEFORE, Cut.AT_ONCE, Cut.ANSWER, None])
        number = 0
        while relay.cuts < cuts:
            keys = [f"note-{number + step:05}" for step in range(4)]
            number += len(keys)
            results = await asyncio.gather(*(database.write(putting(key)) for key in keys), return_exceptions=True)
            kept = {row[0] for row in await direct.all(KEYS)}
            for key, result in zip(keys, results, strict=True):
                assert result == 1 or isinstance(result, DatabaseUnavailable), result
                outcomes["kept" if result == 1 else type(result).__name__] += 1
                if not isinstance(result, OutcomeUnknown):
                    assert (key in kept) == (result == 1), (key, result)
    assert outcomes["kept"] >= cuts // 4  # most are cut more than once
    assert outcomes["OutcomeUnknown"] == 0
    counted = {family.name: family.series for family in metrics.families()}["entrepot_db_unknown_commits"]
    assert counted[("committed",)][0] > 0
    assert counted[("aborted",)][0] > 0


async def test_a_commit_that_nobody_can_tell_of_is_unknown(postgres: PostgresServer, relay: Relay) -> None:
    """A server that is gone when it is asked: the caller is told that nobody knows, and nothing is run again."""
    async with postgres_database(postgres) as direct, through(relay, direct, limits=HASTY) as database:
        await create_all(direct, metadata)
        runs = 0

        async def work(transaction: Transaction) -> None:
            nonlocal runs
            runs += 1
            await putting("note")(transaction)
            relay.rules = Rules(marker=b"COMMIT\0", cut=Cut.ANSWER, refuse=True)

        with pytest.raises(OutcomeUnknown, match="look before"):
            await database.write(work)
        assert runs == 1
        assert await direct.one(COUNT) == (1,)


async def test_a_commit_that_never_arrives_is_ended(postgres: PostgresServer) -> None:
    """A server that waits for a COMMIT which was lost on the way is told to give up, and then says what is true."""
    async with postgres_database(postgres) as database, connection_to(database) as stuck:
        await create_all(database, metadata)
        await stuck.execute("BEGIN READ WRITE; INSERT INTO settings (key, value) VALUES ('note', '')")
        note = await postgres_commit.note(stuck, 5)
        assert await looked_up(database, note) is Outcome.ABORTED
        assert await database.one(COUNT) == (0,)


async def test_an_id_that_another_run_of_the_server_gave_is_not_believed(postgres: PostgresServer) -> None:
    """After a crash or a promotion the same id may be another transaction's: committed is then unknown."""
    async with postgres_database(postgres) as database, connection_to(database) as connection:
        await create_all(database, metadata)
        await connection.execute("BEGIN READ WRITE; INSERT INTO settings (key, value) VALUES ('note', '')")
        note = await postgres_commit.note(connection, 5)
        await postgres_commit.commit(connection)
        assert note.xid is not None
        assert await looked_up(database, note) is Outcome.COMMITTED
        assert await looked_up(database, replace(note, run="another")) is Outcome.UNKNOWN
        future = str(int(note.xid) + 1_000_000)
        assert await looked_up(database, replace(note, xid=future)) is Outcome.ABORTED


async def test_a_crash_of_the_server_begins_another_run() -> None:
    """A run of a server ends with a crash, and goes on over a restart that was asked for."""
    with running_postgres() as server:
        connector = Connector(server.url(), seconds=5)

        async def run() -> str:
            connection = await connect_until(connector, asyncio.get_running_loop().time() + 20)
            try:
                return (await postgres_commit.note(connection, 5)).run
            finally:
                await connection.close()

        first = await run()
        assert await run() == first
        killed, witness = await connector.connect(), await connector.connect()
        os.kill(killed.get_server_pid(), signal.SIGKILL)
        async with asyncio.timeout(20):
            while not witness.is_closed():  # the server ends all others too
                await asyncio.sleep(0.01)
        assert await run() != first
        killed.terminate()


async def test_a_cancelled_caller_waits_for_its_commit(postgres: PostgresServer, relay: Relay) -> None:
    """COMMIT is never broken off: while it waits for a standby, that would look like success."""
    async with postgres_database(postgres) as direct, through(relay, direct) as database:
        await create_all(direct, metadata)
        await database.write(putting("warm"))
        committing = asyncio.Event()
        loop = asyncio.get_running_loop()

        def notice() -> None:
            loop.call_soon_threadsafe(committing.set)

        relay.choose = notice
        relay.rules = Rules(marker=b"COMMIT\0", delay=0.1)
        accepted = relay.accepted
        task = asyncio.create_task(database.write(putting("note")))
        await asyncio.wait_for(committing.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert relay.accepted == accepted  # no request to cancel went out
        relay.rules = Rules()
        assert await database.one(GET, key="note") == ("",)


async def looked_up(database: PostgresDatabase, note: Note) -> Outcome:
    """Look up what became of a transaction."""
    return await postgres_commit.look_up(database._pool.connector, note, 0)


_OTHERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)
