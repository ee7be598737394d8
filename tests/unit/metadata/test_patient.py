"""Questions that may take a while are asked beside the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from entrepot.metadata.engine.slow_questions import THREADS, PatientReader, patient
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable, TookTooLong
from entrepot.metadata.query import RawQuery

_LONG = RawQuery(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n",
    "a long count",
)
_ENDLESS = RawQuery("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", "endless")
_ONE = RawQuery("SELECT 1", "one")
_WRONG = RawQuery("SELECT * FROM missing", "wrong")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of an empty database."""
    return tmp_path / "test.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    """Give an open database."""
    opened = SqliteDatabase(path)
    yield opened
    await opened.close()


@pytest.fixture
def quick(database: SqliteDatabase, path: Path) -> Iterator[PatientReader]:
    """Give a reader that soon loses its patience."""
    reader = PatientReader(path, seconds=0.05)
    yield reader
    reader.close()


async def test_the_loop_goes_on(database: SqliteDatabase) -> None:
    """While a long question is answered, others are answered too."""
    asked = asyncio.create_task(patient(database).one(_LONG))
    pauses = []
    while not asked.done():
        started = time.perf_counter()
        assert await database.one(_ONE) == (1,)
        await asyncio.sleep(0)
        pauses.append(time.perf_counter() - started)
    assert asked.result() == (3_000_000,)
    assert len(pauses) > 20


async def test_what_takes_too_long_is_broken_off(database: SqliteDatabase, quick: PatientReader) -> None:
    """The next question is answered as if nothing had been."""
    started = time.monotonic()
    with pytest.raises(TookTooLong):
        await quick.all(_ENDLESS)
    assert time.monotonic() - started < 5
    assert await quick.all(_ONE) == [(1,)]


async def test_what_nobody_waits_for_is_broken_off(path: Path, database: SqliteDatabase) -> None:
    """Its thread is free for other questions at once, long before its patience ends."""
    reader = PatientReader(path, seconds=60)
    asked = [asyncio.create_task(reader.all(_ENDLESS)) for _ in range(THREADS)]
    await asyncio.sleep(0.05)
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    async with asyncio.timeout(5):
        assert await reader.all(_ONE) == [(1,)]
    reader.close()
    assert await database.one(_ONE) == (1,)


async def test_errors_are_in_our_words(database: SqliteDatabase, quick: PatientReader) -> None:
    """A statement that cannot be run is told as elsewhere, and the connection goes on."""
    with pytest.raises(DatabaseError, match="no such table: missing"):
        await quick.one(_WRONG)
    assert await quick.one(_ONE) == (1,)


async def test_within_a_transaction_there_is_no_other_way(database: SqliteDatabase) -> None:
    """What a transaction asks, it asks itself: it sees what it wrote."""

    async def work(tx: object) -> bool:
        return patient(tx) is tx  # type: ignore[arg-type,comparison-overlap] # a transaction is a reader

    assert await database.write(work)


async def test_a_closed_database_says_so(database: SqliteDatabase) -> None:
    """It answers no more."""
    await database.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        patient(database)


async def test_its_questions_are_counted(database: SqliteDatabase) -> None:
    """The statistics of a database hold them, too."""
    before = database.statistics.statements
    await patient(database).one(_ONE)
    assert database.statistics.statements == before + 1
