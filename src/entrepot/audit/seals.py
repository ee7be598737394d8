"""Sealing: events get their place in the chain a moment after they were written.

The head of the chain, and the link before its first event, are settings of the same database; once an hour the head is
signed and written as an event of its own, which forwarding takes out of this database's reach.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.audit.chain import Link, extend
from entrepot.metadata import audit_log, clock, events, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.transaction_turns import in_turn

HEAD = "audit.head"
ANCHOR = "audit.anchor"
_SIGNED_AT = "audit.signed_at"
_BATCH = 500
_SIGN_EVERY = 3600 * clock.MICROSECONDS
SEALER = Source(name="entrepot", credential="internal")
#: The event that holds a signed head.
CHECKPOINT = "checkpoint"

#: Signs a text and returns the signature with what is needed to check it.
Sign = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sealer:
    """Chains what was written since."""

    metadata: Database
    sign: Sign

    async def run_once(self) -> int:
        """Seal every event that waits for it, and sign the head when an hour has passed; return how many."""
        total = 0
        while count := await self.metadata.write(self._seal, name="seal audit log"):
            total += count
            if count < _BATCH:
                break
        if total:
            await self._sign_hourly()
        return total

    async def _seal(self, tx: Transaction) -> int:
        await in_turn(tx, HEAD)  # of two sealers, the second goes on from where the first ended
        waiting = await audit_log.unsealed(tx, limit=_BATCH)
        if waiting:
            head, seals = extend(Link.parse(await settings.find(tx, HEAD)), waiting)
            await audit_log.seal(tx, seals)
            await settings.put(tx, HEAD, head.text())
        return len(waiting)

    async def _sign_hourly(self) -> None:
        signed_at = int(await settings.find(self.metadata, _SIGNED_AT) or 0)
        if clock.now() - signed_at < _SIGN_EVERY:
            return
        head = Link.parse(await settings.find(self.metadata, HEAD))
        signature = self.sign(head.text())

        async def write(tx: Transaction) -> None:
            await settings.put(tx, _SIGNED_AT, str(clock.now()))
            detail = {**json.loads(head.text()), "signature": signature}
            await events.add(tx, CHECKPOINT, by=SEALER, subject="audit-log", detail=detail)

        await self.metadata.write(write, name="sign audit log")
