"""Requests are counted by all workers together, alike on SQLite and PostgreSQL."""

from collections.abc import Mapping

import pytest

from entrepot.access.limits.counts import DatabaseCounts
from entrepot.access.limits.rates import Kind, Rates, address_of
from entrepot.metadata.database import Database
from entrepot.metadata.work_tables import work_metadata
from tests.support.databases import create_all

LIMITS = {"address": "5/minute", "principal": "", "project": "100/hour"}


class Clock:
    """The time of a test, in seconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_040.0  # a minute begins

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that only the test moves."""
    return Clock()


@pytest.fixture
async def work(database: Database) -> Database:
    """Give an empty database with its tables."""
    await create_all(database, work_metadata)
    return database


def rates(work: Database, clock: Clock, limits: Mapping[str, str] = LIMITS) -> Rates:
    """Return one worker's counter."""
    return Rates(limits, DatabaseCounts(work), now=clock)


async def exceeded(rates: Rates, who: str, kind: Kind = Kind.ADDRESS) -> bool:
    """Count one request; tell whether it is one too many."""
    standing = await rates.count(kind, who)
    assert standing is not None
    return standing.exceeded


async def test_the_limit_is_the_last_request_that_is_served(work: Database, clock: Clock) -> None:
    """Of five a minute, the sixth is too much, until the minute is over; another address is another count."""
    one = rates(work, clock)
    assert [await exceeded(one, "192.0.2.1") for _ in range(7)] == [False] * 5 + [True] * 2
    assert not await exceeded(one, "192.0.2.2")
    clock.now += 61
    assert not await exceeded(one, "192.0.2.1")


async def test_a_standing_tells_what_is_left_and_until_when(work: Database, clock: Clock) -> None:
    """The limit, its span, what may still come, and the seconds until it begins anew."""
    one = rates(work, clock)
    clock.now += 20
    standing = await one.count(Kind.ADDRESS, "192.0.2.1")
    assert standing is not None
    assert (standing.limit, standing.seconds, standing.remaining, standing.reset) == (5, 60, 4, 40)


async def test_what_has_no_limit_is_not_counted(work: Database, clock: Clock) -> None:
    """An empty rate is none, and neither is one that nobody named."""
    one = rates(work, clock)
    assert [kind for kind in Kind if one.limits(kind)] == [Kind.ADDRESS, Kind.PROJECT]
    assert await one.count(Kind.PRINCIPAL, "user:alice") is None
    assert await one.count(Kind.SIGN_INS, "192.0.2.1") is None


async def test_workers_count_together(work: Database, clock: Clock) -> None:
    """What one has counted counts at the others once they have shared; no request is lost or counted twice."""
    first, second, third = (rates(work, clock) for _ in range(3))
    for worker in (first, second):
        for _ in range(2):
            assert not await exceeded(worker, "192.0.2.1")
    for _ in range(3):
        for worker in (first, second):
            await worker.share()
    assert not await exceeded(first, "192.0.2.1")
    await first.share()
    await second.share()
    assert await exceeded(second, "192.0.2.1")
    await exceeded(third, "192.0.2.1")  # it has not shared yet: this one passes
    await second.share()
    await third.share()
    assert await exceeded(third, "192.0.2.1")


async def test_spans_that_are_over_leave_nothing(work: Database, clock: Clock) -> None:
    """Neither in memory, nor, after the next sharing, in the database."""
    one = rates(work, clock)
    for number in range(50):
        await one.count(Kind.ADDRESS, f"192.0.2.{number}")
    await one.share()
    clock.now += 120
    await one.count(Kind.ADDRESS, "192.0.2.200")
    await one.share()
    machine = one._machine
    assert machine is not None
    assert len(machine.storage._spans) == 1


async def test_without_the_database_a_worker_counts_for_itself(
    work: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is refused for it, and nobody is let in more often by it than one worker lets them in."""
    one = rates(work, clock)
    await one.count(Kind.ADDRESS, "192.0.2.1")
    await work.close()
    await one.share()
    assert "goes on alone" in caplog.text
    assert [await exceeded(one, "192.0.2.1") for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("client", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("proxied", "proxied"),
    ],
)
def test_what_an_address_is_counted_as(client: str, counted_as: str | None) -> None:
    """One of IPv4 by itself, also in its other spelling; of IPv6 what one customer has; this host never."""
    assert address_of(client) == counted_as


async def test_bytes_are_counted_afterwards_and_by_all_workers_together(work: Database, clock: Clock) -> None:
    """Looking costs nothing; what is counted may go beyond the limit, and then nothing is left, for the others too."""
    first, second = (rates(work, clock, {"principalbytes": "1000000000000/day"}) for _ in range(2))
    for worker in (first, second):
        for _ in range(2):
            standing = await worker.look(Kind.PRINCIPAL_BYTES, "user:alice")
            assert standing is not None
            assert (standing.remaining, standing.exceeded, standing.unit) == (10**12, False, "content-bytes")
    first.charge(Kind.PRINCIPAL_BYTES, "user:alice", 3 * 10**12)
    await first.share()
    await second.share()
    await second.share()
    for worker in (first, second):
        standing = await worker.look(Kind.PRINCIPAL_BYTES, "user:alice")
        assert standing is not None
        assert (standing.remaining, standing.exceeded) == (0, True)
        assert standing.reset == 86_400 - clock.now % 86_400
    clock.now += standing.reset
    fresh = await second.look(Kind.PRINCIPAL_BYTES, "user:alice")
    assert fresh is not None
    assert not fresh.exceeded
