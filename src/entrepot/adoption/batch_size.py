"""How much is taken in by one transaction: as much as keeps it short on this machine, now."""

from __future__ import annotations

from collections import deque
from statistics import median

#: What a transaction should take: everybody else who writes waits as long (at most 50 ms are allowed).
TARGET_SECONDS = 0.02
_SMALLEST = 8
_LARGEST = 1000
#: One piece that met a busy processor says little; the middle one of several says how busy it is.
_REMEMBERED = 7


class Pace:
    """The size of the next piece, learned from how long the last ones took."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)

    def took(self, seconds: float, items: int) -> None:
        """Learn from a piece; the next is at most twice as large as the last."""
        if items == 0:
            return
        self._costs.append(seconds / items)
        wanted = int(TARGET_SECONDS / max(median(self._costs), 1e-7))
        self.size = max(_SMALLEST, min(_LARGEST, 2 * self.size, wanted))
