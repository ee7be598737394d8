"""Events by month on PostgreSQL: made ahead, dropped whole, and the chain of the audit log holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from entrepot.audit.chain_check import verify
from entrepot.audit.retention import Cut, Retention
from entrepot.audit.seals import Sealer
from entrepot.metadata import clock, event_months, events
from entrepot.metadata.database import Database
from entrepot.metadata.event_months import Month
from entrepot.metadata.events import Source
from entrepot.metadata.query import RawQuery
from entrepot.metadata.tables import metadata
from tests.support.database_fixtures import postgres
from tests.support.databases import create_all, postgres_database
from tests.support.events import recorded
from tests.support.postgres import PostgresServer

__all__ = ["postgres"]

ALICE = Source(name="alice")
#: The oldest month, and times in it and in the two after it.
OLD = Month(2026, 3)


@pytest.fixture
async def log(postgres: PostgresServer) -> AsyncIterator[Database]:
    """An empty log with three months of the past."""
    async with postgres_database(postgres) as database:
        await create_all(database, metadata)
        for month in (OLD, OLD.next, OLD.next.next):
            for text in month.statements():
                await database.write(lambda tx, text=text: tx.execute(RawQuery(text)))
        yield database


def at(month: Month, day: int, hour: int = 12) -> int:
    """Give a time."""
    return int(datetime(month.year, month.number, day, hour, tzinfo=UTC).timestamp()) * clock.MICROSECONDS


async def happens(log: Database, when: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen at a time."""
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: when)
        await log.write(lambda tx: events.add(tx, events.PUSH, by=ALICE, repository="team/app"))


async def fill(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let things happen in each month, and seal them."""
    for month in (OLD, OLD.next, OLD.next.next):
        for day in (2, 9, 20):
            await happens(log, at(month, day), monkeypatch)
    await Sealer(log, str).run_once()


async def shorten(log: Database, before: int) -> int:
    """Remove by month what is older than a time, as the configuration has it."""
    return await Retention(log).shorten(Cut(seconds=(clock.now() - before) / clock.MICROSECONDS, by_month=True))


async def kept(log: Database) -> list[str]:
    """Give the months of the pushes that are there."""
    pushes = await log.all(RawQuery("SELECT at FROM events WHERE kind = 'push' ORDER BY id"))
    return [Month.of(row[0]).table for row in pushes]


async def test_old_months_are_dropped_and_the_chain_holds(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month goes once all of it is old enough, by dropping its table; its seal is where the chain begins then."""
    await fill(log, monkeypatch)
    assert await shorten(log, at(OLD, 28)) == 0
    assert await shorten(log, at(OLD.next, 28)) == 3
    assert OLD not in await event_months.months(log)
    assert set(await kept(log)) == {OLD.next.table, OLD.next.next.table}
    found = await verify(log)
    assert (found.holds, found.first) == (True, 3)
    await happens(log, clock.now(), monkeypatch)
    await Sealer(log, str).run_once()
    assert await shorten(log, at(OLD.next.next.next, 1)) == 6
    assert (await verify(log)).holds


async def test_what_was_sealed_late_goes_with_its_month(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where orders cross at the end of a month, its neighbours before the cut go too, and nothing is missing."""
    await happens(log, at(OLD, 20), monkeypatch)
    await happens(log, at(OLD.next, 1, 1), monkeypatch)
    await happens(log, at(OLD, 31, 23), monkeypatch)
    await happens(log, at(OLD.next, 3), monkeypatch)
    await Sealer(log, str).run_once()
    assert await shorten(log, OLD.end + 1000) == 0, "one that stays was sealed before the month's last"
    assert await shorten(log, at(OLD.next, 2)) == 3
    assert await kept(log) == [OLD.next.table]
    assert (await verify(log)).holds


async def test_a_month_with_something_unsealed_stays(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealer comes first."""
    await fill(log, monkeypatch)
    await happens(log, at(OLD, 30), monkeypatch)
    assert await shorten(log, at(OLD.next, 28)) == 0
    await Sealer(log, str).run_once()
    assert (await verify(log)).holds


async def test_months_are_made_ahead(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, once however many look; what happened meanwhile is taken in, with its number and its seal."""
    later = Month.of(clock.now())
    for _ in range(6):
        later = later.next
    await happens(log, at(later, 5), monkeypatch)
    await Sealer(log, str).run_once()
    before = await recorded(log)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: at(later, 6))
        await asyncio.gather(*(event_months.make_ahead(log) for _ in range(3)))
    assert (await event_months.months(log))[-3:] == [later, later.next, later.next.next]
    assert await log.all(RawQuery("SELECT count(*) FROM events_other")) == [(0,)]
    assert await recorded(log) == before
    assert (await verify(log)).holds


async def test_two_sealers_at_once_make_one_chain(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a lease was lost, the second goes on from where the first ended."""
    for day in range(1, 25):
        await happens(log, at(OLD, day), monkeypatch)
    await asyncio.gather(*(Sealer(log, str).run_once() for _ in range(4)))
    assert (await verify(log)).holds
