"""How many requests and bytes in how much time: by address, by principal, by project, and for signing in.

The rates are the operator's; without one nothing is counted. The library that does it is loaded with the first request
that is counted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from entrepot.access.limits.counts import SharedCounts
from entrepot.access.passwords.throttle import LOCAL, PROXIED, network_of
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.metadata.errors import DatabaseError

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

    from entrepot.access.limits.rate_storage import SharedStorage

_log = logging.getLogger(__name__)
#: Seconds between two exchanges of all counts, and not only of those that somebody has just asked for.
_EVERYTHING: Final = 1.0


class Kind(StrEnum):
    """What is limited; the names are those of the configuration."""

    ADDRESS = "address"
    PRINCIPAL = "principal"
    PROJECT = "project"
    SIGN_INS = "signins"
    TOKENS = "tokens"
    REPOSITORIES = "repositories"
    ADDRESS_BYTES = "addressbytes"
    PRINCIPAL_BYTES = "principalbytes"
    PROJECT_BYTES = "projectbytes"


#: What counts bytes and not requests.
OF_BYTES: Final = frozenset({Kind.ADDRESS_BYTES, Kind.PRINCIPAL_BYTES, Kind.PROJECT_BYTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a client stands to one limit."""

    kind: StrEnum
    limit: int
    seconds: int = 0  #: length of the span that the limit is for; 0 for what goes on at once
    remaining: int
    reset: int = 0  #: seconds until the span ends
    exceeded: bool
    unit: str = ""  #: what is counted where that is not requests, in the words of the RateLimit headers


@dataclass(frozen=True, slots=True)
class _Machine:
    """The library's parts."""

    storage: SharedStorage
    limiter: FixedWindowRateLimiter
    items: Mapping[Kind, RateLimitItem]


class Rates:
    """Counts requests and bytes against the limits; one per worker."""

    def __init__(
        self, wanted: Mapping[str, str], counts: SharedCounts, *, now: Callable[[], float] = clock_seconds
    ) -> None:
        """Keep what is wanted.

        Args:
            wanted: Rates such as `600/minute` by the names of `Kind`; an empty one means no limit.
            counts: Where the workers add up what they have counted.
            now: The time, in seconds since the epoch.
        """
        self._wanted = {Kind(name): rate for name, rate in wanted.items() if rate}
        self._counts = counts
        self._now = now
        self._machine: _Machine | None = None
        self._loading = asyncio.Lock()

    def limits(self, kind: Kind) -> bool:
        """Tell whether there is a limit of this kind."""
        return kind in self._wanted

    async def count(self, kind: Kind, who: str) -> Standing | None:
        """Count one request; None where nothing of this kind is limited."""
        if kind not in self._wanted:
            return None
        machine = await self._loaded()
        allowed = machine.limiter.hit(machine.items[kind], kind, who)
        return self._standing(machine, kind, who, exceeded=not allowed)

    async def look(self, kind: Kind, who: str) -> Standing | None:
        """Tell whether anything is left, and count nothing; None where nothing of this kind is limited."""
        if kind not in self._wanted:
            return None
        machine = await self._loaded()
        machine.limiter.hit(machine.items[kind], kind, who, cost=0)  # from now on others' counts are asked for
        return self._standing(machine, kind, who, exceeded=not machine.limiter.test(machine.items[kind], kind, who))

    def charge(self, kind: Kind, who: str, amount: int) -> None:
        """Count so much at once, also beyond the limit; somebody must have looked before."""
        assert self._machine is not None  # `look` has loaded it
        self._machine.limiter.hit(self._machine.items[kind], kind, who, cost=amount)

    def _standing(self, machine: _Machine, kind: Kind, who: str, *, exceeded: bool) -> Standing:
        item = machine.items[kind]
        span = item.get_expiry()
        return Standing(
            kind=kind,
            limit=item.amount,
            seconds=span,
            remaining=machine.limiter.get_window_stats(item, kind, who).remaining,
            reset=max(1, math.ceil(span - self._now() % span)),  # spans begin at the same moments for all workers
            exceeded=exceeded,
            unit="content-bytes" if kind in OF_BYTES else "",
        )

    async def run(self) -> None:
        """Add up with the other workers again and again, until cancelled."""
        each = max(1, round(_EVERYTHING / self._counts.every))
        for number in itertools.count(1):
            await asyncio.sleep(self._counts.every)
            await self.share(everything=number % each == 0)

    async def share(self, *, everything: bool = True) -> None:
        """Add up with the other workers now; while that is not possible each counts for itself."""
        if self._machine is None:
            return
        try:
            await self._machine.storage.share(everything=everything)
        except DatabaseError:
            _log.warning("requests could not be counted for all workers; this one goes on alone", exc_info=True)

    async def _loaded(self) -> _Machine:
        async with self._loading:
            if self._machine is None:
                self._machine = await asyncio.to_thread(self._load)
            return self._machine

    def _load(self) -> _Machine:
        from limits import parse  # noqa: PLC0415 - 60 ms that a start does not spend
        from limits.strategies import FixedWindowRateLimiter  # noqa: PLC0415 - as above

        from entrepot.access.limits.rate_storage import SharedStorage  # noqa: PLC0415 - as above

        storage = SharedStorage(self._counts, now=self._now)
        items = {kind: parse(rate) for kind, rate in self._wanted.items()}
        return _Machine(storage, FixedWindowRateLimiter(storage), items)


def address_of(client: str) -> str | None:
    """Return what one client is counted as: its address, of IPv6 its /64; None for this host, which has no limit."""
    network = network_of(client)
    if network == LOCAL:
        return None
    if network == PROXIED:
        return PROXIED
    address = ipaddress.ip_address(client.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return network if address.version == 6 and mapped is None else str(mapped or address)  # noqa: PLR2004 - IPv6
