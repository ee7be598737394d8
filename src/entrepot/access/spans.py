"""Lengths of time that are fixed, or that an administrator may change while the registry runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from entrepot.metadata.errors import DatabaseError

#: Gives a length of time in seconds, as it is now.
Span = Callable[[], Awaitable[float]]
#: Seconds after which a setting is read again.
MAX_AGE: Final = 30.0
_MINUTE: Final = 60.0

_log = logging.getLogger(__name__)


def always(seconds: float) -> Span:
    """Return a length that stays."""

    async def span() -> float:
        return seconds

    return span


class SetSpan:
    """A length that a setting says in minutes; a change of it is in force on every worker within half a minute."""

    def __init__(
        self,
        minutes: Callable[[], Awaitable[object]],
        first: float,
        *,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep how to read the setting; `first` holds until it could be read."""
        self._minutes = minutes
        self._seconds = first
        self._max_age = max_age
        self._clock = clock
        self._read_at: float | None = None

    async def __call__(self) -> float:
        """Return it in seconds; where it cannot be read, as it was last."""
        now = self._clock()
        if self._read_at is None or now - self._read_at >= self._max_age:
            self._read_at = now
            try:
                self._seconds = float(str(await self._minutes())) * _MINUTE
            except DatabaseError:
                _log.warning("a setting could not be read; what it was last stays in force", exc_info=True)
        return self._seconds
