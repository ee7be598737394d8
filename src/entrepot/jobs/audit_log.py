"""The audit log's own work: sealing every few seconds, and forwarding after it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from entrepot.audit.seals import Sealer
from entrepot.audit.syslog import Forwarder

_log = logging.getLogger(__name__)

#: Seconds between two rounds of sealing; an event is in the chain within twice that.
INTERVAL = 4.0


@dataclass(frozen=True, slots=True)
class Auditing:
    """A lasting job: seals and forwards until stopped."""

    sealer: Sealer
    forwarder: Forwarder | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Seal what was written, forward what was sealed, and wait; until `stop` is set."""
        while not stop.is_set():
            await self.sealer.run_once()
            await self._forward()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), INTERVAL)

    async def _forward(self) -> None:
        if self.forwarder is None:
            return
        try:
            await self.forwarder.run_once()
        except (OSError, TimeoutError) as error:
            _log.warning("the audit log cannot be forwarded; it is sent later", extra={"error": str(error)})
