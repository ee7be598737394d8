"""Waiting times for guessers, and what they may never do to the owner."""

import pytest

from entrepot.access.passwords.sign_in_counts import MemoryCounts
from entrepot.access.passwords.throttle import LOCAL, PROXIED, Known, Throttle, network_of
from entrepot.oci.errors import TooManyRequests
from tests.unit.access.conftest import Clock

HERE, THERE = "192.0.2.7", "203.0.113.9"


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    """Give a throttle by the test's clock."""
    return Throttle(clock=clock)


async def fail(throttle: Throttle, times: int, account: str = "admin", client: str = HERE) -> None:
    for _ in range(times):
        await throttle.failed(account, client)


async def wait(throttle: Throttle, account: str = "admin", client: str = HERE) -> int:
    """Return the seconds to wait."""
    try:
        await throttle.check(account, client)
    except TooManyRequests as refused:
        return refused.retry_after
    return 0


async def test_five_failures_are_free_and_then_the_wait_doubles(throttle: Throttle, clock: Clock) -> None:
    """The wait grows 1, 2, 4, ... and ends at a minute."""
    await fail(throttle, 4)
    assert await wait(throttle) == 0
    waits = []
    for _ in range(10):
        await fail(throttle, 1)
        waits.append(await wait(throttle))
        clock.now += waits[-1]
        assert await wait(throttle) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


async def test_a_clock_that_was_ahead_locks_nobody_out(throttle: Throttle, clock: Clock) -> None:
    """Whoever failed while the clock was ten days ahead waits for nothing when it is right again, nor ever longer."""
    clock.now += 864_000
    await fail(throttle, 14)
    clock.now -= 864_000
    assert await wait(throttle) == 0
    await fail(throttle, 1)
    assert await wait(throttle) == 60
    clock.now -= 0.5
    assert await wait(throttle) == 60


async def test_success_ends_the_count(throttle: Throttle) -> None:
    """The right password takes its own failures back."""
    await fail(throttle, 5)
    await throttle.succeeded("admin", HERE)
    assert await wait(throttle) == 0


async def test_failures_are_forgotten(throttle: Throttle, clock: Clock) -> None:
    """A quarter of an hour without a failure starts anew."""
    await fail(throttle, 12)
    clock.now += 901
    await fail(throttle, 4)
    assert await wait(throttle) == 0


async def test_one_network_is_one_guesser(throttle: Throttle) -> None:
    """The addresses of one /24 or /64 count together, others apart."""
    for last in range(5):
        await throttle.failed("admin", f"192.0.2.{last}")
        await throttle.failed("root", f"2001:db8:1:2::{last}")
    assert await wait(throttle, "admin", "192.0.2.200") > 0
    assert await wait(throttle, "admin", "192.0.3.1") == 0
    assert await wait(throttle, "root", "2001:db8:1:2:ffff::1") > 0
    assert await wait(throttle, "root", "2001:db8:1:3::1") == 0


async def test_many_networks_together_are_one_guesser(throttle: Throttle) -> None:
    """Twenty failures for one account from anywhere make the whole world wait for it, but not for another account."""
    for number in range(20):
        await fail(throttle, 1, client=f"198.51.{number}.1")
    assert await wait(throttle, client=THERE) > 0
    assert await wait(throttle, "other", THERE) == 0


async def test_one_network_trying_many_accounts_waits(throttle: Throttle) -> None:
    """Twenty failures from one network, whatever the names, make it wait for every account."""
    for number in range(20):
        await throttle.failed(f"user{number}", HERE)
    assert await wait(throttle, "somebody") > 0
    assert await wait(throttle, "somebody", THERE) == 0


async def test_strangers_cannot_lock_the_owner_out(throttle: Throttle) -> None:
    """From where the account signed in before, and from this host, others' failures do not count."""
    await throttle.succeeded("admin", HERE)
    for number in range(200):
        await fail(throttle, 1, client=f"198.51.{number}.1")
    assert await wait(throttle, client=THERE) > 0
    assert await wait(throttle, client=HERE) == 0
    assert await wait(throttle, client="127.0.0.1") == 0
    assert await wait(throttle, client="") == 0


async def test_a_neighbour_cannot_lock_out_who_signed_in_there_before(throttle: Throttle) -> None:
    """Behind one proxy, a machine that keeps failing makes those wait who are new there, not those who are known."""
    await throttle.succeeded("alice", HERE)
    await fail(throttle, 200, "old-robot", HERE)
    assert await wait(throttle, "alice", HERE) == 0
    assert await wait(throttle, "newcomer", HERE) > 0
    await fail(throttle, 5, "alice", HERE)
    assert await wait(throttle, "alice", HERE) > 0


@pytest.mark.parametrize("client", [HERE, THERE, "127.0.0.1", "", "2001:db8::1"])
async def test_nobody_waits_longer_than_a_minute(client: str, throttle: Throttle) -> None:
    """However many failures there were, the wait is a minute at most."""
    await fail(throttle, 10_000, client=client)
    assert 0 < await wait(throttle, client=client) <= 60


async def test_memory_is_bounded(clock: Clock) -> None:
    """A flood of names does not fill the memory."""
    counts = MemoryCounts(clock=clock)
    throttle = Throttle(counts)
    for number in range(60_000):
        await throttle.failed(f"user{number}", HERE)
    assert len(counts._failures) == 50_000


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", ""])
async def test_the_administrator_is_never_locked_out_on_this_host(client: str, throttle: Throttle) -> None:
    """Whatever was tried, from here and from everywhere, the administrator on this host waits two seconds at most."""
    for number in range(300):
        await fail(throttle, 1, client=f"198.51.{number % 250}.1")
        await fail(throttle, 10, client=client)
        await fail(throttle, 1, account=f"user{number}", client=client)
    assert 0 < await wait(throttle, client=client) <= 2
    assert await wait(throttle, "somebody", client) > 2
    assert await wait(throttle, client=THERE) > 2


@pytest.mark.parametrize("pause", [0, 901])
@pytest.mark.parametrize("networks", [1, 50])
async def test_a_guesser_has_less_than_a_hundred_tries_an_hour(
    pause: int, networks: int, throttle: Throttle, clock: Clock
) -> None:
    """However the tries are spread over networks and over the hour."""
    end = clock.now + 3600
    tries = 0
    while clock.now < end:
        client = f"198.51.{tries % networks}.1"
        seconds = await wait(throttle, client=client)
        if seconds == 0:
            await fail(throttle, 1, client=client)
            tries += 1
        else:
            clock.now += max(seconds, pause)
    assert 15 < tries < 100


async def test_guessers_everywhere_slow_strangers_down_and_nobody_else(throttle: Throttle) -> None:
    """A thousand failures of all kinds make places that failed wait some seconds; new and known ones not at all."""
    await throttle.succeeded("alice", HERE)
    for _ in range(3):
        await throttle.failed("carol", THERE)
    for number in range(997):
        await throttle.failed(f"user{number}", f"203.{number // 250}.{number % 250}.1")
    assert await wait(throttle, "alice", THERE) == 1
    for number in range(100):
        await throttle.failed(f"name{number}", f"204.0.{number}.1")
    assert await wait(throttle, "alice", THERE) == 5
    assert await wait(throttle, "alice", HERE) == 0
    assert await wait(throttle, "alice", "127.0.0.1") == 0
    assert await wait(throttle, "alice", "198.51.100.1") == 0


async def test_one_customer_of_a_provider_is_not_new_in_each_of_its_networks(throttle: Throttle) -> None:
    """An IPv6 customer has up to 65,536 networks: what failed in three of them is known in the others."""
    for number in range(1000):
        await throttle.failed(f"user{number}", f"203.{number // 250}.{number % 250}.1")
    assert await throttle.check("alice", "2001:db8:1:4::1") is Known.NEW
    for number in range(3):
        await throttle.failed(f"name{number}", f"2001:db8:1:{number}::1")
    assert await wait(throttle, "alice", "2001:db8:1:4::1") > 0
    assert await throttle.check("alice", "2001:db8:2::1") is Known.NEW


async def test_how_well_a_client_is_known(throttle: Throttle) -> None:
    """By the account's own success there, then by nobody's failure."""
    await throttle.succeeded("alice", HERE)
    await throttle.failed("bob", HERE)
    assert await throttle.check("alice", HERE) is Known.HERE
    assert await throttle.check("bob", HERE) is Known.FAILED
    assert await throttle.check("alice", THERE) is Known.NEW


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
        (PROXIED, PROXIED),
    ],
)
def test_networks(client: str, network: str) -> None:
    """The network of an address is what one client has to itself; a Unix socket is this host."""
    assert network_of(client) == network
