"""Writes of work that has time: of many small ones others are to notice as little as can be."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from entrepot.metadata.database import Database, T, Work

#: Seconds; no pause is longer.
_LONGEST: Final = 0.1


async def write_behind(database: Database, work: Work[T], *, name: str) -> T:
    """Write as `Database.write` does, and then pause for as long as that took: the longer, the more others write."""
    started = time.monotonic()
    result = await database.write(work, name=name)
    await asyncio.sleep(min(time.monotonic() - started, _LONGEST))
    return result
