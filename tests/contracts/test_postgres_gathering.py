"""Questions that wait at the same moment go to PostgreSQL as one statement, and each is answered as if asked alone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
from sqlalchemy import bindparam, select, update

from entrepot.metadata.contents import manifests, repositories
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgres_connect import Limits
from entrepot.metadata.engine.postgres_gatherer import gathered
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.tables import metadata, settings
from entrepot.oci.reference import RepositoryName
from tests.support.chaos import Rules, chaos
from tests.support.databases import connection_to, create_all, postgres_database, through
from tests.support.notes import putting
from tests.support.postgres import PostgresServer
from tests.support.queries import all_queries

HASTY: Final = Limits(answer=2.0, question=2.0, connect=0.5, transaction=2.0, lock=0.5, statement=1.0, idle=5.0)
VALUE: Final = Query(
    select(settings.c.value).where(settings.c.key == bindparam("key")), "test.value_gathered", recalled=True
)
SET: Final = Query(
    update(settings).where(settings.c.key == bindparam("of")).values(value=bindparam("to")), "test.set_value"
)
#: Backends but one's own that serve this database.
OTHERS: Final = RawQuery(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


@pytest.fixture
async def notes(postgres: PostgresServer) -> AsyncIterator[PostgresDatabase]:
    """A database with a hundred rows."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)

        async def fill(tx: Transaction) -> None:
            for number in range(100):
                await putting(f"note-{number}")(tx)
                await tx.execute(SET, of=f"note-{number}", to=str(number))

        await database.write(fill)
        yield database


async def test_questions_of_one_moment_are_one_statement(notes: PostgresDatabase) -> None:
    """Sixty-four callers cost one round trip; each gets its own row, or none, or the same as another."""
    await notes.one(VALUE, key="warm")
    before = notes.statistics.statements
    keys = [f"note-{number % 40}" if number % 3 else "absent" for number in range(64)]
    rows = await asyncio.gather(*(notes.one(VALUE, key=key) for key in keys))
    assert rows == [None if key == "absent" else (key.removeprefix("note-"),) for key in keys]
    assert notes.statistics.statements - before == 1


async def test_a_question_that_is_refused_fails_no_other(notes: PostgresDatabase) -> None:
    """One caller's name that cannot be text is nothing to those whose questions went along."""
    keys = ["note-1", "no\0te", "note-2", "absent"]
    assert await asyncio.gather(*(notes.one(VALUE, key=key) for key in keys)) == [("1",), None, ("2",), None]


async def test_callers_who_go_on_asking_share_statements(notes: PostgresDatabase) -> None:
    """At sixty-four callers a question costs less than a tenth of a statement."""

    async def caller(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(50):
            number = choice.randrange(100)
            assert await notes.one(VALUE, key=f"note-{number}") == (str(number),)

    before = notes.statistics.statements
    await asyncio.gather(*map(caller, range(64)))
    assert notes.statistics.statements - before <= 0.1 * 64 * 50


async def test_an_answer_is_never_older_than_its_question(notes: PostgresDatabase) -> None:
    """Whoever asks after a write was acknowledged sees it, among writers and readers without end."""
    acknowledged, done = 0, False

    async def writer() -> None:
        nonlocal acknowledged, done
        for value in range(1, 150):
            await notes.write(lambda tx, value=value: tx.execute(SET, of="note-0", to=str(value)))
            acknowledged = value
        done = True

    async def reader() -> int:
        asked = 0
        while not done:
            least = acknowledged
            row = await notes.one(VALUE, key="note-0")
            assert row is not None
            assert int(row[0]) >= least
            asked += 1
        return asked

    _, *asked = await asyncio.gather(writer(), *(reader() for _ in range(32)))
    assert sum(asked) > 1000


async def test_a_cancelled_caller_takes_no_answer_from_others(notes: PostgresDatabase) -> None:
    """Of many who ask together some go away, before and while the question is out; the others are answered."""
    for _ in range(20):
        tasks = [asyncio.create_task(notes.one(VALUE, key=f"note-{number}")) for number in range(32)]
        await asyncio.sleep(random.choice([0, 0, 0.0005, 0.001]))
        for task in tasks[::3]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(results[n] == (str(n),) for n in range(32) if n % 3)


async def test_questions_whose_connection_is_cut_are_asked_again(
    postgres: PostgresServer, notes: PostgresDatabase
) -> None:
    """Nobody notices but by the time it takes."""
    with chaos(postgres.port) as relay:
        async with through(relay, notes) as database:
            for _ in range(10):
                work = asyncio.gather(*(database.one(VALUE, key=f"note-{number}") for number in range(32)))
                await asyncio.sleep(0.001)
                relay.cut_all()
                assert await work == [(str(number),) for number in range(32)]


async def test_a_silent_server_costs_a_gathered_question_the_limit(
    postgres: PostgresServer, notes: PostgresDatabase
) -> None:
    """All who wait are refused in time, those who ask meanwhile too, and those who ask afterwards are answered."""
    with chaos(postgres.port) as relay:
        async with through(relay, notes, limits=HASTY) as database:
            await database.one(VALUE, key="note-1")
            relay.rules = Rules(silent=True)
            began = time.monotonic()
            results = await asyncio.gather(
                *(database.one(VALUE, key=f"note-{number}") for number in range(64)), return_exceptions=True
            )
            assert {isinstance(result, DatabaseUnavailable) for result in results} == {True}
            assert HASTY.answer - 0.1 < time.monotonic() - began < HASTY.answer + 0.5
            relay.rules = Rules()
            assert await database.one(VALUE, key="note-1") == ("1",)


async def test_frozen_backends_only_delay_gathered_questions(postgres: PostgresServer, notes: PostgresDatabase) -> None:
    """A question that a process of the server does not answer is asked of another one before its time is over."""
    async with through(postgres, notes, limits=HASTY) as database:
        await asyncio.gather(*(database.one(VALUE, key=f"note-{number}") for number in range(64)))
        frozen = [row[0] for row in await notes.all(OTHERS)]
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            assert await asyncio.gather(*(database.one(VALUE, key=f"note-{n}") for n in range(64))) == [
                (str(number),) for number in range(64)
            ]
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


async def test_every_recalled_query_can_be_gathered(postgres: PostgresServer) -> None:
    """Each has its keys first and finds the same row as asked alone."""
    recalled = {name: query for name, query in all_queries().items() if query.recalled}
    assert len(recalled) >= 4
    async with postgres_database(postgres) as database, connection_to(database) as connection:
        await create_all(database, metadata)
        for query in recalled.values():
            await connection.prepare(gathered(query.compiled(POSTGRESQL))[0])

        async def fill(tx: Transaction) -> None:
            repository = await repositories.ensure(tx, RepositoryName.parse("team/app"))
            await manifests.add(
                tx,
                repository.id,
                digest="sha256:1",
                media_type="x",
                artifact_type=None,
                raw=b"{}",
                subject=None,
                annotations={},
            )

        await database.write(fill)
        alone = await database.write(lambda tx: manifests.by_digest(tx, "team/app", "sha256:1"))
        assert alone is not None
        assert await manifests.by_digest(database, "team/app", "sha256:1") == alone
        assert await manifests.by_digest(database, "team/app", "sha256:2") is None
