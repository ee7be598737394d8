"""Time as the database keeps it."""

from __future__ import annotations

import time

MICROSECONDS = 1_000_000


def now() -> int:
    """Return the time in whole microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000


def after(seconds: float) -> int:
    """Return the time `seconds` from now, in microseconds since the epoch."""
    return now() + int(seconds * MICROSECONDS)
