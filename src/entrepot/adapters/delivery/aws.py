"""Amazon's own networks: clients there reach S3 quicker, and without paying for traffic, than through CloudFront."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Collection, Iterator
from typing import Any, Final

from entrepot.adapters.delivery.networks import Network, Networks
from entrepot.outbound.client import Requester
from entrepot.outbound.errors import OutboundError

_log = logging.getLogger(__name__)

#: The list has 2 MB today.
_LIMIT: Final = 32 << 20
#: Seconds until the next try, after one that failed.
_AGAIN: Final = 300.0


class AwsNetworks:
    """The networks of some regions, or of all; none until the list was read for the first time."""

    def __init__(self, http: Requester, url: str, regions: Collection[str], every: float) -> None:
        self._http = http
        self._url = url
        self._regions = frozenset(region.lower() for region in regions)
        self._every = every
        self._networks = Networks(())

    def hold(self, client: str) -> bool:
        """Tell whether a client is there."""
        return self._networks.hold(client)

    async def run(self) -> None:
        """Read the list now and then again and again, until cancelled; what was read last counts until then."""
        while True:
            pause = self._every if await self.read() else min(_AGAIN, self._every)
            await asyncio.sleep(pause)

    async def read(self) -> bool:
        """Read the list; False when that failed, which is logged."""
        try:
            answer = await self._http.request("GET", self._url, limit=_LIMIT)
            self._networks = Networks(self._read(json.loads(answer.body)))
        except (OutboundError, ValueError, TypeError, KeyError) as error:
            _log.warning("Amazon's networks could not be read from %s: %s", self._url, error)
            return False
        _log.info("read %d networks of Amazon", self._networks.count)
        return True

    def _read(self, document: Any) -> Iterator[Network]:
        for entries, key in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")):
            for entry in document[entries]:
                if not self._regions or entry["region"].lower() in self._regions:
                    yield ipaddress.ip_network(entry[key])
