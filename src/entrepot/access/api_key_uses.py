"""When each API key was last used: noted in memory, written now and then, so that no request writes for it."""

from __future__ import annotations

import asyncio
import logging

from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.people import api_keys

_log = logging.getLogger(__name__)

#: Seconds between two writes.
INTERVAL = 30.0


class KeyUses:
    """Notes uses, and writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[int, int] = {}

    def note(self, key_id: int) -> None:
        """Note that a key is used now."""
        self._noted[key_id] = clock.now()

    async def flush(self) -> None:
        """Write what was noted, in one transaction; what cannot be written is noted again."""
        noted, self._noted = self._noted, {}
        if not noted:
            return

        async def write(tx: Transaction) -> None:
            for key_id, at in sorted(noted.items()):
                await api_keys.note_use(tx, key_id, at)

        try:
            await self._database.write(write, name="uses of API keys")
        except DatabaseError:
            _log.warning("when API keys were last used could not be written; tried again later", exc_info=True)
            self._noted = noted | self._noted

    async def run(self, *, interval: float = INTERVAL) -> None:
        """Write every `interval` seconds, and once more when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(interval)
                await self.flush()
        finally:
            await self.flush()
