"""Adds to sums and lists what was there before triggers kept them: once, after a program of version 4."""

from __future__ import annotations

import asyncio
from typing import Final

from entrepot.metadata.contents import kept_sums
from entrepot.metadata.database import Database
from entrepot.metadata.engine.low_priority_writes import write_behind

INTERVAL: Final = 24 * 3600.0


class SumCompletion:
    """The job."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata

    async def run(self, stop: asyncio.Event) -> None:
        """Add what is missing, some rows at a time."""
        for name, add in ((kept_sums.ARTIFACTS, kept_sums.add_artifacts), (kept_sums.BYTES, kept_sums.add_blobs)):
            done = await kept_sums.complete(self._metadata, name)
            while not done and not stop.is_set():
                done = await write_behind(self._metadata, add, name=f"complete {name}")
