"""The switch that keeps a running registry from being changed, for maintenance.

It is on when the configuration says so (`storage.maintenance.readonly`), or when `entrepot readonly on` has set a row
that every worker looks at twice a second.
"""

from __future__ import annotations

import asyncio
import logging

from entrepot.metadata import settings
from entrepot.metadata.database import Database, Reader

KEY = "readonly"
_LOOK_SECONDS = 0.5

_log = logging.getLogger(__name__)


class ReadOnlySwitch:
    """What `RegistrySettings.read_only` asks; `watch` keeps it true to the database."""

    def __init__(self, database: Reader, *, configured: bool) -> None:
        self._database = database
        self._configured = configured
        self._switched = False

    def __call__(self) -> bool:
        """Tell whether the registry is read-only."""
        return self._configured or self._switched

    async def look(self) -> None:
        """Read the row."""
        self._switched = await is_on(self._database)

    async def watch(self) -> None:
        """Look twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the next look is half a second away
                # What it said last stays true.
                _log.exception("cannot read whether the registry is read-only")


async def is_on(database: Reader) -> bool:
    """Tell whether the switch is set, whatever the configuration says."""
    return await settings.find(database, KEY) == "on"


async def switch(database: Database, *, on: bool) -> None:
    """Set the switch for all workers."""
    await database.write(lambda tx: settings.put(tx, KEY, "on" if on else "off"), name="readonly")
