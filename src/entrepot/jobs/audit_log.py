"""The audit log's own work: sealing every few seconds, forwarding after it, and on PostgreSQL the months to come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from entrepot.audit.seals import Sealer
from entrepot.audit.syslog import Forwarder
from entrepot.metadata import event_months

_log = logging.getLogger(__name__)

#: Seconds between two rounds of sealing; an event is in the chain within twice that.
INTERVAL = 4.0
#: Seconds between two looks whether the months to come are made.
_MONTHS_INTERVAL = 3600.0


@dataclass(frozen=True, slots=True)
class Auditing:
    """A lasting job: seals and forwards until stopped."""

    sealer: Sealer
    forwarder: Forwarder | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Seal what was written, forward what was sealed, and wait; until `stop` is set."""
        looked = float("-inf")
        while not stop.is_set():
            if time.monotonic() - looked > _MONTHS_INTERVAL:
                await event_months.make_ahead(self.sealer.metadata)
                looked = time.monotonic()
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
