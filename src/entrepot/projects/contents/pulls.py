"""Pulls, counted in memory and written down every few seconds, or when asked: a pull itself writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from entrepot.metadata import clock
from entrepot.metadata.contents import pulls
from entrepot.metadata.contents.pulls import Pulled
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError

_LOGGER = logging.getLogger(__name__)
_SECONDS: Final = 10.0
#: Between two looks whether somebody wants all pulls to be written, while there are any.
_LOOK_SECONDS: Final = 1.0
#: Manifests that one process remembers; what is pulled beyond that is counted once these are written.
_MOST: Final = 100_000


class PullCounter:
    """Counts the pulls that one process answers."""

    def __init__(
        self, metadata: Database, *, paused: Callable[[], bool] = lambda: False, seconds: float = _SECONDS
    ) -> None:
        """Count for a database, every so many seconds; `paused` says when nothing may be written."""
        self._metadata = metadata
        self._paused = paused
        self._seconds = seconds
        self._waiting: dict[int, Pulled] = {}
        self._flushed_at = 0

    def note(self, manifest_id: int) -> None:
        """Note that a manifest was pulled now."""
        known = self._waiting.get(manifest_id)
        if known is None and len(self._waiting) >= _MOST:
            return
        self._waiting[manifest_id] = Pulled(1 if known is None else known.count + 1, clock.now())

    async def flush(self) -> None:
        """Write down what was noted; it stays noted when the database cannot."""
        if not self._waiting or self._paused():
            return
        self._flushed_at = clock.now()
        taken, self._waiting = self._waiting, {}
        try:
            await self._metadata.write(partial(_add, taken), name="count pulls")
        except DatabaseError as error:
            _LOGGER.warning("the pulls of %d manifests are not written yet: %s", len(taken), error)
            for manifest_id, pulled in taken.items():
                self._put_back(manifest_id, pulled)

    async def run(self) -> None:
        """Write down what is noted, again and again, and a last time when cancelled."""
        try:
            while True:
                await self._pause()
                await self.flush()
        finally:
            await self.flush()

    async def _pause(self) -> None:
        """Wait for the time to write, or until somebody wants it who looks at when things were pulled."""
        rest = self._seconds
        while rest > 0:
            await asyncio.sleep(min(rest, _LOOK_SECONDS))
            rest -= _LOOK_SECONDS
            if rest > 0 and self._waiting and await self._is_wanted():
                return

    async def _is_wanted(self) -> bool:
        try:
            return await pulls.wanted_at(self._metadata) > self._flushed_at
        except DatabaseError:
            return False

    def _put_back(self, manifest_id: int, pulled: Pulled) -> None:
        newer = self._waiting.get(manifest_id)
        if newer is not None:
            pulled = Pulled(newer.count + pulled.count, newer.last_at)
        self._waiting[manifest_id] = pulled


async def _add(taken: dict[int, Pulled], tx: Transaction) -> None:
    await pulls.add(tx, taken)
