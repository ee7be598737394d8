"""Waiting times for those who guess passwords, growing with each failure and never longer than a minute.

Three counts run beside each other: failures for one account from one network, for one account from anywhere, and from
one network for any account. The first is strict. The other two have more room, and are not asked for networks from
which the account has signed in before, the second not for this host either: so a stranger who keeps failing cannot lock
the owner out, and neither can a machine with an old password lock out all who come through the same proxy.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable

from entrepot.access.memory import Memory
from entrepot.oci.errors import TooManyRequests

#: Failures that are free, for one account from one network, and for the two wider counts.
FREE = 5
FREE_WIDE = 20
#: The longest wait, in seconds.
LONGEST = 60.0
#: Seconds without a failure after which all is forgotten.
_FORGET = 900.0
#: Seconds for which a network counts as one where the account's owner is.
_FAMILIAR = 30 * 24 * 3600.0
_LIMIT = 50_000

_Key = tuple[str, str]


class Throttle:
    """Counts failures and says who has to wait."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: Memory[_Key, tuple[int, float]] = Memory(limit=_LIMIT, seconds=_FORGET, clock=clock)
        self._familiar: Memory[_Key, float] = Memory(limit=_LIMIT, seconds=_FAMILIAR, clock=clock)

    def check(self, account: str, client: str) -> None:
        """Go on only if nobody has to wait.

        Raises:
            TooManyRequests: With the seconds to wait.
        """
        wait = max(self._wait(key, free) for key, free in self._keys(account, client))
        if wait > 0:
            raise TooManyRequests(math.ceil(wait), "too many failed sign-ins; wait before you try again")

    def failed(self, account: str, client: str) -> None:
        """Count a failure, also where it is not asked for this client."""
        network = network_of(client)
        for key in ((account, network), (account, "*"), ("", network)):
            count = self._count(key) + 1
            self._failures.put(key, (count, self._clock()))

    def succeeded(self, account: str, client: str) -> None:
        """Forget the failures of this account from there; others from the same network may still be guessing."""
        network = network_of(client)
        self._failures.forget((account, network))
        self._familiar.put((account, network), self._clock())

    def _keys(self, account: str, client: str) -> list[tuple[_Key, int]]:
        network = network_of(client)
        keys = [((account, network), FREE)]
        if self._familiar.find((account, network)) is None:
            keys.append((("", network), FREE_WIDE))
            if network != LOCAL:
                keys.append(((account, "*"), FREE_WIDE))
        return keys

    def _count(self, key: _Key) -> int:
        entry = self._failures.find(key)
        return 0 if entry is None else entry[0]

    def _wait(self, key: _Key, free: int) -> float:
        entry = self._failures.find(key)
        if entry is None or entry[0] < free:
            return 0.0
        count, last = entry
        delay = min(LONGEST, 2.0 ** min(count - free, 16))
        return last + delay - self._clock()


#: How connections from this host are counted, whatever their address.
LOCAL = "local"


def network_of(client: str) -> str:
    """Return the network that one client can be expected to have to itself: a /24 or a /64, or this host."""
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
