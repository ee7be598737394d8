"""Retention: events older than the configured time go, from the oldest on, and the chain stays checkable.

The seal of the last event that went is kept as the anchor on which the first that stayed stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from entrepot.audit.chain import Link
from entrepot.audit.sealing import ANCHOR, SEALER
from entrepot.metadata import audit_log, clock, events, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """Removes what is older than `seconds`."""

    metadata: Database
    seconds: float

    async def run_once(self, by: Source = SEALER) -> int:
        """Remove what is too old now; return how many events that were."""
        before = clock.after(-self.seconds)
        total = 0
        while count := await self.metadata.write(lambda tx: _remove(tx, before), name="shorten audit log"):
            total += count
        if total:
            detail = {"removed": total, "older_than_seconds": self.seconds}
            await self.metadata.write(
                lambda tx: events.add(tx, events.DELETE, by=by, subject="audit-log", detail=detail),
                name="shorten audit log",
            )
        return total


async def _remove(tx: Transaction, before: int) -> int:
    anchor = Link.parse(await settings.find(tx, ANCHOR))
    oldest = await audit_log.sealed(tx, after=anchor.sequence, limit=_BATCH)
    old = list(takewhile(lambda event: event.at < before, oldest))
    if not old:
        return 0
    last = old[-1]
    assert last.sequence is not None
    assert last.seal is not None
    await settings.put(tx, ANCHOR, Link(last.sequence, last.seal).text())
    return await audit_log.remove(tx, last.sequence)
