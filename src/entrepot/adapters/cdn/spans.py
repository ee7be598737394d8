"""Since when and until when a URL is good.

Time is cut into windows of half the URLs' life, and all who sign in one window say the same times. So a blob has one
URL for a window, whichever worker or node is asked: caches on the way see one name, and nothing has to be remembered. A
URL is good for half of its life when it is given for the last time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

#: China's time, by which two vendors write minutes.
_CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Span:
    """A window's times, in seconds since 1970."""

    begins: int
    expires: int

    @property
    def minute(self) -> str:
        """Its beginning as YYYYMMDDHHMM in UTC+8."""
        return datetime.fromtimestamp(self.begins, UTC).astimezone(_CHINA).strftime("%Y%m%d%H%M")


class Spans:
    """Gives the window of the moment."""

    __slots__ = ("_current", "_now", "_window")

    def __init__(self, life: float, now: Callable[[], float] = time.time) -> None:
        """Let URLs live for `life` seconds."""
        self._window = max(1, int(life / 2))
        self._now = now
        self._current = Span(0, 0)

    def current(self) -> Span:
        """Return the window of now: the same object until the next one begins."""
        begins = int(self._now()) // self._window * self._window
        if begins != self._current.begins:
            self._current = Span(begins, begins + 2 * self._window)
        return self._current
