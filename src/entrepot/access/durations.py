"""Lengths of time that are fixed, or that an administrator may change while the registry runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from entrepot.metadata.errors import DatabaseError

#: Gives a length of time in seconds, as it is now.
Span = Callable[[], float]
#: Seconds between two readings of a setting.
PAUSE: Final = 20.0
_MINUTE: Final = 60.0

_log = logging.getLogger(__name__)


def always(seconds: float) -> Span:
    """Return a length that stays."""
    return lambda: seconds


class SetSpan:
    """A length that a setting says in minutes; a change of it is in force on every worker within half a minute.

    No request waits for the setting: `run` reads it beside them.
    """

    def __init__(self, minutes: Callable[[], Awaitable[object]], first: float) -> None:
        """Keep how to read the setting; `first` holds until it was read."""
        self._minutes = minutes
        self._seconds = first

    def __call__(self) -> float:
        """Return it in seconds."""
        return self._seconds

    async def look(self) -> None:
        """Read the setting; where it cannot be read, it stays as it was last."""
        try:
            self._seconds = float(str(await self._minutes())) * _MINUTE
        except DatabaseError:
            _log.warning("a setting could not be read; what it was last stays in force", exc_info=True)

    async def run(self) -> None:
        """Read the setting now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PAUSE)
