"""Whether an address is in one of many networks."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REMEMBERED: Final = 4096


class Networks:
    """Networks that are looked through by halves: there are ten thousand of Amazon's."""

    def __init__(self, networks: Iterable[Network]) -> None:
        """Join those that touch each other."""
        by_version: dict[int, list[Network]] = {4: [], 6: []}
        for network in networks:
            by_version[network.version].append(network)
        joined = {version: list(ipaddress.collapse_addresses(some)) for version, some in by_version.items()}  # type: ignore[type-var]
        self._begins = {version: [int(each[0]) for each in some] for version, some in joined.items()}
        self._ends = {version: [int(each[-1]) for each in some] for version, some in joined.items()}
        self.count = len(list(chain.from_iterable(joined.values())))
        self._holds = lru_cache(_REMEMBERED)(self._look)

    def hold(self, client: str) -> bool:
        """Tell whether a client's address is in one of them; what is no address is in none."""
        return self._holds(client)

    def _look(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        place = bisect_right(self._begins[address.version], int(address)) - 1
        return place >= 0 and int(address) <= self._ends[address.version][place]
