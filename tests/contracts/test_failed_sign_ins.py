"""Failed sign-ins are counted alike on SQLite and PostgreSQL, by all workers together."""

import asyncio

import pytest

from entrepot.access.passwords.sign_in_counts import SharedCounts
from entrepot.access.passwords.throttle import Throttle
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import failed_sign_ins
from entrepot.metadata.people.failed_sign_ins import Failures
from entrepot.metadata.work_tables import work_metadata
from entrepot.oci.errors import TooManyRequests
from tests.support.databases import create_all

HERE, THERE = "192.0.2.7", "203.0.113.9"


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables."""
    await create_all(database, work_metadata)
    return database


async def add(rows: Database, account: str, network: str, at: int, since: int = 0) -> None:
    """Count one."""
    await rows.write(lambda tx: failed_sign_ins.add(tx, account, network, at=at, since=since))


async def test_failures_are_counted_and_forgotten(rows: Database) -> None:
    """Each pair has its count; it begins anew after a pause, and is gone once removed."""
    for at in (10, 20, 30):
        await add(rows, "alice", "n1", at)
    await add(rows, "alice", "n2", 40)
    await add(rows, "bob", "n1", 50)
    read = await failed_sign_ins.read(rows, ["alice"], ["n1", "n2"], since=0)
    assert read == {("alice", "n1"): Failures(3, 30), ("alice", "n2"): Failures(1, 40)}
    assert await failed_sign_ins.read(rows, ["alice", "bob"], ["n1"], since=30) == {("bob", "n1"): Failures(1, 50)}
    await add(rows, "alice", "n1", 1000, since=500)
    assert await failed_sign_ins.read(rows, ["alice"], ["n1"], since=0) == {("alice", "n1"): Failures(1, 1000)}
    await rows.write(lambda tx: failed_sign_ins.remove(tx, "alice", "n1"))
    await rows.write(lambda tx: failed_sign_ins.remove_old(tx, failures_before=40, places_before=0))
    everything = await failed_sign_ins.read(rows, ["alice", "bob"], ["n1", "n2"], since=0)
    assert everything == {("bob", "n1"): Failures(1, 50)}


async def test_places_are_noted(rows: Database) -> None:
    """The last success of an account in a network is known, until it is too long ago."""
    for at in (10, 20):
        await rows.write(lambda tx, at=at: failed_sign_ins.note_success(tx, "alice", "n1", at=at))
    assert await failed_sign_ins.last_success(rows, "alice", "n1") == 20
    assert await failed_sign_ins.last_success(rows, "alice", "n2") is None
    assert await failed_sign_ins.last_success(rows, "bob", "n1") is None
    await rows.write(lambda tx: failed_sign_ins.remove_old(tx, failures_before=0, places_before=20))
    assert await failed_sign_ins.last_success(rows, "alice", "n1") is None


async def waits(throttle: Throttle, account: str, client: str) -> int:
    """Return the seconds to wait."""
    try:
        await throttle.check(account, client)
    except TooManyRequests as refused:
        return refused.retry_after
    return 0


async def test_workers_count_together(rows: Database) -> None:
    """What fails at one worker counts at the others, no failure is lost, and a success helps everywhere."""
    now = [clock.now()]
    workers = [Throttle(SharedCounts(rows, now=lambda: now[0])) for _ in range(3)]
    await asyncio.gather(*(workers[number % 3].failed("alice", HERE) for number in range(12)))
    read = await failed_sign_ins.read(rows, ["alice"], ["192.0.2.0/24"], since=0)
    assert [row.count for row in read.values()] == [12]
    assert [await waits(worker, "alice", HERE) for worker in workers] == [60, 60, 60]
    now[0] += 61 * clock.MICROSECONDS
    await workers[0].succeeded("alice", HERE)
    assert [await waits(worker, "alice", HERE) for worker in workers] == [0, 0, 0]
    for number in range(30):
        await workers[1].failed("alice", f"198.51.{number}.1")
    assert await waits(workers[2], "alice", THERE) > 0
    assert await waits(workers[2], "alice", HERE) == 0


async def test_a_repeated_success_writes_nothing(rows: Database) -> None:
    """A client that signs in every minute costs one write a day."""
    throttle = Throttle(SharedCounts(rows))
    await throttle.succeeded("alice", HERE)
    before = rows.statistics.transactions
    for _ in range(5):
        await throttle.succeeded("alice", HERE)
    assert rows.statistics.transactions == before
    await throttle.failed("alice", HERE)
    await throttle.succeeded("alice", HERE)
    assert rows.statistics.transactions == before + 2


async def test_without_the_database_a_worker_counts_for_itself(rows: Database) -> None:
    """A database that is closed lets nobody guess freely, and lets the right password in."""
    throttle = Throttle(SharedCounts(rows))
    await rows.close()
    for _ in range(6):
        await throttle.failed("alice", HERE)
    assert await waits(throttle, "alice", HERE) == 2
    assert await waits(throttle, "bob", THERE) == 0
    await throttle.succeeded("alice", HERE)
    assert await waits(throttle, "alice", HERE) == 0


async def test_old_rows_go(rows: Database) -> None:
    """A flood of names leaves nothing behind once its time is over."""
    now = [clock.now()]
    counts = SharedCounts(rows, now=lambda: now[0])
    throttle = Throttle(counts)
    for number in range(99):
        await throttle.failed(f"user{number}", HERE)
    now[0] += 901 * clock.MICROSECONDS
    await throttle.failed("alice", HERE)
    names = [f"user{number}" for number in range(99)]
    assert await failed_sign_ins.read(rows, names, ["192.0.2.0/24", "*"], since=0) == {}
    assert await failed_sign_ins.read(rows, ["alice"], ["*"], since=0) != {}
