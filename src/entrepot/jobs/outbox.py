"""Hands on what transactions left in the outbox, in order, at least once.

An entry that fails holds up those of its repository after it: their order is what makes the outcome right. The other
repositories go on (`metadata.jobs.outbox_rounds`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox_rounds import Handler, Round
from entrepot.telemetry.instruments import Metrics

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_MEASURE_SECONDS = 5.0
#: Until what was set aside is tried again; longer where going through what waits takes long.
_ASIDE_SECONDS = 10.0
_ROUNDS_SHARE = 10


class OutboxConsumer:
    """Feeds handlers with the outbox."""

    def __init__(self, metadata: Database, handlers: Sequence[Handler], metrics: Metrics) -> None:
        self._metadata = metadata
        self._round = Round(metadata, handlers)
        self._handlers = handlers
        self._began = self._ended = time.monotonic()
        self._told: frozenset[str] = frozenset()
        self._pending = metrics.gauge("entrepot_outbox_pending", "Outbox entries that wait to be handled.")
        self._lag = metrics.gauge("entrepot_outbox_lag_seconds", "Age of the oldest outbox entry.")
        self._aside = metrics.gauge("entrepot_outbox_set_aside", "Repositories whose outbox entries cannot be handled.")
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
        """Handle the oldest entries that can be; returns how many it looked at."""
        looked = await self._round.batch()
        self._tell()
        if not looked:
            self._next_round()
        return looked

    def _tell(self) -> None:
        for name in sorted(self._round.aside.keys() - self._told):
            error = str(self._round.aside[name])
            _log.error("the files of a repository cannot be written", extra={"repository": name, "error": error})
        self._told |= self._round.aside.keys()
        self._aside.set(len(self._told))

    def _next_round(self) -> None:
        """At the end of a round, try again what was set aside, once some time has passed."""
        now = time.monotonic()
        self._told = frozenset(self._round.aside)
        self._aside.set(len(self._told))
        if not self._told:
            self._began = self._ended = now
        elif self._ended <= self._began:
            self._ended = now
        elif now - self._ended >= max(_ASIDE_SECONDS, _ROUNDS_SHARE * (self._ended - self._began)):
            self._round = Round(self._metadata, self._handlers)
            self._began = self._ended = now

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
