"""Goes by the clock of a database that several hosts share, whatever their own clocks say (`metadata.clock`).

The server is asked every few seconds how far its clock is ahead of this host's CLOCK_BOOTTIME; in between that counts.
So the times that hosts write down agree to within a few milliseconds. Leases and claims of jobs ask the server each
time (`Reader.now`), since there two who are wrong by a little are two who work at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError

_log = logging.getLogger(__name__)

#: Between two questions; the clocks of machines drift apart by less than a millisecond meanwhile.
_ASK_SECONDS: Final = 5.0
#: An answer that took longer says too little.
_SLOW: Final = 1 * clock.MICROSECONDS
#: A host whose own clock differs by more is told so: its log and its certificates still go by that.
_SKEWED: Final = 2 * clock.MICROSECONDS


@asynccontextmanager
async def following(database: Database) -> AsyncIterator[None]:
    """Go by a database's clock during the block.

    Raises:
        DatabaseError: It does not answer at the beginning; later it may be away for any time.
    """
    before = clock.shared_ahead()
    skew = await _measure(database, asked_before=False)
    if abs(skew) > _SKEWED:
        _log.warning(
            "the clock of this host is %.0f s %s that of the database, whose time counts; set it right",
            abs(skew) / clock.MICROSECONDS,
            "ahead of" if skew > 0 else "behind",
        )
    keeping = asyncio.create_task(_keep(database))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        clock.follow(before)


async def _keep(database: Database) -> None:
    while True:
        await asyncio.sleep(_ASK_SECONDS)
        try:
            await _measure(database, asked_before=True)
        except DatabaseError:
            _log.debug("the database was not there to be asked for the time")


async def _measure(database: Database, *, asked_before: bool) -> int:
    """Ask for the time; returns by how much this host's own clock is ahead."""
    began = clock.boottime()
    told = await database.now()
    ended = clock.boottime()
    if not asked_before or ended - began <= _SLOW:
        clock.follow(told - (began + ended) // 2)
    return time.time_ns() // 1_000 - told
