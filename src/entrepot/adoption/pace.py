"""How much is taken in by one transaction: as much as keeps it short on this machine, now."""

from __future__ import annotations

#: What a transaction should take: everybody else who writes waits as long, and should not notice.
TARGET_SECONDS = 0.02
_SMALLEST = 8
_LARGEST = 1000


class Pace:
    """The size of the next piece, learned from how long the last ones took."""

    def __init__(self, size: int) -> None:
        self.size = size

    def took(self, seconds: float, items: int) -> None:
        """Learn from a piece: shrink at once, grow slowly."""
        if items == 0:
            return
        wanted = int(items * TARGET_SECONDS / max(seconds, 1e-6))
        if wanted < self.size:
            self.size = max(_SMALLEST, wanted)
        elif items >= self.size:
            self.size = min(_LARGEST, wanted, self.size + max(1, self.size // 4))
