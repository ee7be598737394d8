"""Waiting times for those who guess passwords, growing with each failure and never longer than a minute.

Four counts run beside each other: failures for one account from one network, for one account from anywhere, from one
network for any account, and of everybody. The first is strict. The others have more room, and are not asked for
networks from which the account has signed in before, and those of the world not for this host either: so a stranger who
keeps failing cannot lock the owner out, and neither can a machine with an old password lock out all who come through
the same proxy. The count of everybody is asked for sites that have failed themselves: while the world guesses,
somebody new still comes in with the right password. Whoever guesses has less than a hundred tries an hour for an
account.

The administrator, on this host, never waits longer than two seconds: somebody must be able to put things right. Whom a
proxy on this host hides are not on it: they count as one network.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from entrepot.access.admin_account import NAME
from entrepot.access.passwords.sign_in_counts import Counts, Key, MemoryCounts, SharedCounts, Standing
from entrepot.metadata.database import Database
from entrepot.oci.errors import TooManyRequests

#: Failures that are free: for one account from one network, for the two wider counts, and for all together.
FREE = 5
FREE_WIDE = 20
FREE_ALL = 1000
#: Failures of a site, for any account, that are no reason to make it wait for those of all.
FREE_NEW = 3
#: The longest wait, in seconds; that after failures of everybody; and that of the administrator on this host.
LONGEST = 60.0
LONGEST_ALL = 5.0
LONGEST_HERE = 2.0
#: By so many seconds two processes' readings of one clock may be apart.
_CLOCKS_APART = 1.0
#: Stands for every account, or every network.
_EVERY = "*"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One count, how much of it is free, and how long the wait may grow."""

    key: Key
    free: int
    longest: float = LONGEST


class Known(IntEnum):
    """How well a client is known who signs in; who is known better comes first."""

    HERE = 0  #: the account has signed in from this network
    NEW = 1  #: nobody has failed from this site
    FAILED = 2  #: somebody has


class Throttle:
    """Counts failures and says who has to wait."""

    def __init__(self, counts: Counts | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in `counts`; without it, in this process alone and by `clock`."""
        self._counts = counts or MemoryCounts(clock=clock)

    @classmethod
    def shared(cls, work: Database) -> Throttle:
        """Return one that counts together with all other workers."""
        return cls(SharedCounts(work))

    async def check(self, account: str, client: str) -> Known:
        """Go on only if nobody has to wait; tell how well the client is known.

        Raises:
            TooManyRequests: With the seconds to wait.
        """
        network = network_of(client)
        site = site_of(client)
        standing = await self._counts.read([*_keys(account, network), ("", site)], (account, network))
        of_site, _ = standing.failures.get(("", site), (0, 0.0))
        rules = _rules(account, network, familiar=standing.familiar, new=of_site < FREE_NEW)
        wait = max(self._wait(rule, standing) for rule in rules)
        if wait > 0:
            raise TooManyRequests(math.ceil(wait), "too many failed sign-ins; wait before you try again")
        if standing.familiar:
            return Known.HERE
        return Known.FAILED if of_site else Known.NEW

    async def failed(self, account: str, client: str) -> None:
        """Count a failure, also where it is not asked for this client."""
        await self._counts.failed(sorted({*_keys(account, network_of(client)), ("", site_of(client))}))

    async def succeeded(self, account: str, client: str) -> None:
        """Forget the failures of this account from there; others from the same network may still be guessing."""
        await self._counts.succeeded((account, network_of(client)))

    def _wait(self, rule: _Rule, standing: Standing) -> float:
        count, last = standing.failures.get(rule.key, (0, 0.0))
        if count < rule.free:
            return 0.0
        delay = min(rule.longest, 2.0 ** min(count - rule.free, 16))
        now = self._counts.now()
        # A failure that is still to come was counted by a wrong clock: nobody waits for that.
        return 0.0 if last > now + _CLOCKS_APART else min(delay, last + delay - now)


def _keys(account: str, network: str) -> list[Key]:
    """Return what a failure is counted under. The empty account is nobody's: it stands for all."""
    return [(account, network), (account, _EVERY), ("", network), ("", _EVERY)]


def _rules(account: str, network: str, *, familiar: bool, new: bool) -> list[_Rule]:
    own, from_anywhere, of_network, of_all = _keys(account, network)
    if network == LOCAL and account == NAME:
        return [_Rule(own, FREE, LONGEST_HERE)]
    rules = [_Rule(own, FREE)]
    if not familiar:
        rules.append(_Rule(of_network, FREE_WIDE))
    if not familiar and network != LOCAL:
        rules.append(_Rule(from_anywhere, FREE_WIDE))
        if not new:
            rules.append(_Rule(of_all, FREE_ALL, LONGEST_ALL))
    return rules


#: How connections from this host are counted, whatever their address.
LOCAL = "local"
#: Stands for the address of clients that something on this host hides, and for their one network.
PROXIED = "proxied"


# Reading an address takes longer than finding a manifest, and each request has one.
@lru_cache(maxsize=4096)
def network_of(client: str) -> str:
    """Return the network that one client can be expected to have to itself: a /24 or a /64, or this host."""
    if client == PROXIED:
        return PROXIED
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return LOCAL
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return LOCAL
    prefix = 24 if address.version == 4 else 64  # noqa: PLR2004 - the IP version
    return str(ipaddress.ip_network((address, prefix), strict=False))


@lru_cache(maxsize=4096)
def site_of(client: str) -> str:
    """Return what may be one customer of a provider: the network of an address, of IPv6 a /48, which has many."""
    network = network_of(client)
    if ":" not in network:
        return network
    return str(ipaddress.ip_network((network.partition("/")[0], 48), strict=False))
