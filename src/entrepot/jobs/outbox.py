"""Hands on what transactions left in the outbox, in order, at least once.

An entry is removed after its handler returned. A process that dies in between leaves it to be handled again, so
handlers must do no harm by doing something twice. An entry that fails holds up those after it: their order is what
makes the outcome right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from entrepot.metadata import clock, outbox
from entrepot.metadata.database import Database
from entrepot.metadata.outbox import Handler
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_MEASURE_SECONDS = 5.0


class OutboxConsumer:
    """Feeds handlers with the outbox."""

    def __init__(self, metadata: Database, handlers: Sequence[Handler], metrics: Metrics) -> None:
        self._metadata = metadata
        self._handlers = handlers
        self._pending = metrics.gauge("entrepot_outbox_pending", "Outbox entries that wait to be handled.")
        self._lag = metrics.gauge("entrepot_outbox_lag_seconds", "Age of the oldest outbox entry.")
        self._measured = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Handle entries as they come, until stopped."""
        failures = 0
        while not stop.is_set():
            try:
                handled = await self.handle_batch()
                failures = 0
            except Exception:  # noqa: BLE001 - the entries stay, and are tried again
                failures += 1
                handled = 0
                _log.exception("the outbox cannot be handled", extra={"failures": failures})
            await self._measure()
            if not handled:
                await _pause(stop, min(_LONGEST_PAUSE_SECONDS, _IDLE_SECONDS * 2 ** min(failures, 10)))
        # After an orderly stop nothing waits any more: registry:2 can take the folder as it is.
        while await self.handle_batch():
            pass

    async def handle_batch(self) -> int:
        """Handle the oldest entries; returns how many."""
        return await outbox.hand_on(self._metadata, self._handlers)

    async def _measure(self) -> None:
        if time.monotonic() - self._measured < _MEASURE_SECONDS:
            return
        self._measured = time.monotonic()
        with contextlib.suppress(Exception):
            pending, oldest = await outbox.backlog(self._metadata)
            self._pending.set(pending)
            self._lag.set((clock.now() - oldest) / clock.MICROSECONDS if oldest else 0.0)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
