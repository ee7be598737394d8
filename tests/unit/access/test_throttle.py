"""Waiting times for guessers, and what they may never do to the owner."""

import pytest

from entrepot.access.throttle import LOCAL, Throttle, network_of
from entrepot.oci.errors import TooManyRequests
from tests.unit.access.conftest import Clock

HERE, THERE = "192.0.2.7", "203.0.113.9"


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    """Give a throttle by the test's clock."""
    return Throttle(clock=clock)


def fail(throttle: Throttle, times: int, account: str = "admin", client: str = HERE) -> None:
    for _ in range(times):
        throttle.failed(account, client)


def wait(throttle: Throttle, account: str = "admin", client: str = HERE) -> int:
    """Return the seconds to wait."""
    try:
        throttle.check(account, client)
    except TooManyRequests as refused:
        return refused.retry_after
    return 0


def test_five_failures_are_free_and_then_the_wait_doubles(throttle: Throttle, clock: Clock) -> None:
    """The wait grows 1, 2, 4, ... and ends at a minute."""
    fail(throttle, 4)
    assert wait(throttle) == 0
    waits = []
    for _ in range(10):
        fail(throttle, 1)
        waits.append(wait(throttle))
        clock.now += waits[-1]
        assert wait(throttle) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_success_ends_the_count(throttle: Throttle) -> None:
    """The right password takes its own failures back."""
    fail(throttle, 5)
    throttle.succeeded("admin", HERE)
    assert wait(throttle) == 0


def test_failures_are_forgotten(throttle: Throttle, clock: Clock) -> None:
    """A quarter of an hour without a failure starts anew."""
    fail(throttle, 12)
    clock.now += 901
    fail(throttle, 4)
    assert wait(throttle) == 0


def test_one_network_is_one_guesser(throttle: Throttle) -> None:
    """The addresses of one /24 or /64 count together, others apart."""
    for last in range(5):
        throttle.failed("admin", f"192.0.2.{last}")
        throttle.failed("root", f"2001:db8:1:2::{last}")
    assert wait(throttle, "admin", "192.0.2.200") > 0
    assert wait(throttle, "admin", "192.0.3.1") == 0
    assert wait(throttle, "root", "2001:db8:1:2:ffff::1") > 0
    assert wait(throttle, "root", "2001:db8:1:3::1") == 0


def test_many_networks_together_are_one_guesser(throttle: Throttle) -> None:
    """Twenty failures for one account from anywhere make the whole world wait for it, but not for another account."""
    for number in range(20):
        fail(throttle, 1, client=f"198.51.{number}.1")
    assert wait(throttle, client=THERE) > 0
    assert wait(throttle, "other", THERE) == 0


def test_one_network_trying_many_accounts_waits(throttle: Throttle) -> None:
    """Twenty failures from one network, whatever the names, make it wait for every account."""
    for number in range(20):
        throttle.failed(f"user{number}", HERE)
    assert wait(throttle, "somebody") > 0
    assert wait(throttle, "somebody", THERE) == 0


def test_strangers_cannot_lock_the_owner_out(throttle: Throttle) -> None:
    """From where the account signed in before, and from this host, others' failures do not count."""
    throttle.succeeded("admin", HERE)
    for number in range(200):
        fail(throttle, 1, client=f"198.51.{number}.1")
    assert wait(throttle, client=THERE) > 0
    assert wait(throttle, client=HERE) == 0
    assert wait(throttle, client="127.0.0.1") == 0
    assert wait(throttle, client="") == 0


def test_a_neighbour_cannot_lock_out_who_signed_in_there_before(throttle: Throttle) -> None:
    """Behind one proxy, a machine that keeps failing makes those wait who are new there, not those who are known."""
    throttle.succeeded("alice", HERE)
    fail(throttle, 200, "old-robot", HERE)
    assert wait(throttle, "alice", HERE) == 0
    assert wait(throttle, "newcomer", HERE) > 0
    fail(throttle, 5, "alice", HERE)
    assert wait(throttle, "alice", HERE) > 0


@pytest.mark.parametrize("client", [HERE, THERE, "127.0.0.1", "", "2001:db8::1"])
def test_nobody_waits_longer_than_a_minute(client: str, throttle: Throttle) -> None:
    """However many failures there were, the wait is a minute at most."""
    fail(throttle, 10_000, client=client)
    assert 0 < wait(throttle, client=client) <= 60


def test_memory_is_bounded(throttle: Throttle) -> None:
    """A flood of names does not fill the memory."""
    for number in range(60_000):
        throttle.failed(f"user{number}", HERE)
    assert len(throttle._failures) == 50_000


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.53", LOCAL),
        ("::1", LOCAL),
        ("::ffff:127.0.0.1", LOCAL),
        ("", LOCAL),
    ],
)
def test_networks(client: str, network: str) -> None:
    """The network of an address is what one client has to itself; a Unix socket is this host."""
    assert network_of(client) == network
