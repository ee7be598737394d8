"""How much there is: for people who look at a page, not for accounting.

Bytes are added up as blobs come and go. Projects and repositories are counted, so that is done at most once a minute,
off the event loop, and not at all when it takes too long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.access.model import Principal
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.reachable_projects import reach_of
from entrepot.metadata.contents import kept_sums, statistics
from entrepot.metadata.contents.statistics import Figures
from entrepot.metadata.database import Database

READ = Permission("project:read")
#: Seconds for which the figures over everything stay as they are.
MAX_AGE = 60.0


@dataclass(frozen=True, slots=True)
class Everything:
    """The figures over everything."""

    total: Figures
    public: Figures
    stored: int  #: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one principal may know."""

    public: Figures
    private: Figures  #: of those that the principal may read
    everything: Everything | None  #: for those who may read everything


class Statistics:
    """Takes the figures."""

    def __init__(self, metadata: Database, policy: Policy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metadata = metadata
        self._policy = policy
        self._clock = clock
        self._taken: tuple[float, Everything] | None = None
        self._taking = asyncio.Lock()

    async def overview(self, principal: Principal) -> Overview:
        """Return what a principal may know.

        Raises:
            TookTooLong: There is too much to count.
        """
        reach = await reach_of(self._policy, principal, READ)
        everything = await self._everything()
        if reach.everywhere:
            return Overview(
                public=everything.public, private=everything.total - everything.public, everything=everything
            )
        private = await statistics.named(self._metadata, reach.names) if reach.names else Figures(0, 0)
        return Overview(public=everything.public if reach.public else Figures(0, 0), private=private, everything=None)

    async def _everything(self) -> Everything:
        async with self._taking:
            if self._taken is None or self._clock() - self._taken[0] > MAX_AGE:
                total, public = await statistics.total(self._metadata), await statistics.public(self._metadata)
                stored = await kept_sums.stored_bytes(self._metadata)
                self._taken = self._clock(), Everything(total, public, stored)
            return self._taken[1]
