"""Pulls are counted in memory, and what cannot be written down yet is not lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrepot.metadata.contents import artifact_parts, manifests, repositories
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.tables import metadata
from entrepot.oci.reference import RepositoryName
from entrepot.projects.contents import pulls
from entrepot.projects.contents.pulls import PullCounter
from tests.support.databases import create_all, sqlite_database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """Give a database with all tables."""
    async with sqlite_database(tmp_path) as opened:
        await create_all(opened, metadata)
        yield opened


async def manifest(database: SqliteDatabase, name: str = "team/app") -> int:
    """Add a manifest and return its row id."""

    async def work(tx: Transaction) -> int:
        repository = await repositories.ensure(tx, RepositoryName.parse(name))
        digest = f"sha256:{abs(hash(name)):064x}"
        added = await manifests.add(
            tx, repository.id, digest=digest, media_type="m", artifact_type=None, raw=b"", subject=None, annotations={}
        )
        assert added is not None
        return added

    return await database.write(work)


async def counts(database: SqliteDatabase, *ids: int) -> list[int]:
    """Return how often manifests were pulled, as far as it is written."""
    return [record.pull_count for record in await artifact_parts.records(database, ids)]


async def test_nothing_is_written_before_a_flush_and_nothing_twice(database: SqliteDatabase) -> None:
    """One transaction for all of it; a flush without news costs none."""
    one, two = await manifest(database), await manifest(database, "team/other")
    counter = PullCounter(database)
    before = database.statistics.transactions
    for row_id in (one, two, one):
        counter.note(row_id)
    assert database.statistics.transactions == before
    await counter.flush()
    await counter.flush()
    assert database.statistics.transactions == before + 1
    assert await counts(database, one, two) == [2, 1]


async def test_what_cannot_be_written_is_written_later(tmp_path: Path, database: SqliteDatabase) -> None:
    """A database that refuses keeps no pull from being counted, nor those that come meanwhile."""
    row_id = await manifest(database)
    counter = PullCounter(database)
    counter.note(row_id)
    async with sqlite_database(tmp_path, "other.db") as closed:
        pass
    broken = PullCounter(closed)
    broken.note(row_id)
    await broken.flush()
    broken.note(row_id)
    broken._metadata = database
    await broken.flush()
    await counter.flush()
    assert await counts(database, row_id) == [3]


async def test_nothing_is_written_in_maintenance(database: SqliteDatabase) -> None:
    """While the registry is read-only the counts wait."""
    row_id = await manifest(database)
    paused = [True]
    counter = PullCounter(database, paused=lambda: paused[0])
    counter.note(row_id)
    before = database.statistics.transactions
    await counter.flush()
    assert database.statistics.transactions == before
    paused[0] = False
    await counter.flush()
    assert await counts(database, row_id) == [1]


async def test_memory_is_bounded(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound new manifests are not noted; those that are known still count."""
    monkeypatch.setattr(pulls, "_MOST", 1)
    one, two = await manifest(database), await manifest(database, "team/other")
    counter = PullCounter(database)
    for row_id in (one, two, one):
        counter.note(row_id)
    await counter.flush()
    assert await counts(database, one, two) == [2, 0]


async def test_it_flushes_again_and_again_and_a_last_time(database: SqliteDatabase) -> None:
    """Running beside the requests, and when it is ended."""
    row_id = await manifest(database)
    counter = PullCounter(database, seconds=0.01)
    running = asyncio.create_task(counter.run())
    counter.note(row_id)
    async with asyncio.timeout(5):
        while await counts(database, row_id) != [1]:
            await asyncio.sleep(0.01)
    counter._seconds = 3600
    await asyncio.sleep(0.05)
    counter.note(row_id)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert await counts(database, row_id) == [2]
