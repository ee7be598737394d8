"""Time as the database keeps it.

Where several hosts share a database, all go by its clock, so that what one of them writes down is not too early or too
late for another: `follow` says how far that clock is ahead of CLOCK_BOOTTIME, which each host counts by itself and
nobody can set. Where the host's own wall clock stands does not matter then.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MICROSECONDS = 1_000_000


class _Shared:
    """What this process knows of the clock that it shares with other hosts."""

    #: From CLOCK_BOOTTIME to that clock, in microseconds; None where there is no other than this host's.
    ahead: int | None = None


def now() -> int:
    """Return the time in whole microseconds since the epoch, UTC."""
    if _Shared.ahead is None:
        return time.time_ns() // 1_000
    return boottime() + _Shared.ahead


def seconds() -> float:
    """Return the same time in seconds, for what is not kept in the database but shown to others: tokens, codes."""
    return now() / MICROSECONDS


def after(seconds: float) -> int:
    """Return the time `seconds` from now, in microseconds since the epoch."""
    return later(now(), seconds)


def later(at: int, seconds: float) -> int:
    """Return the time `seconds` after another."""
    return at + int(seconds * MICROSECONDS)


def boottime() -> int:
    """Return what CLOCK_BOOTTIME says, in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


def follow(ahead: int | None) -> None:
    """Go by a clock that is ahead of CLOCK_BOOTTIME by so many microseconds; None: by this host's again."""
    _Shared.ahead = ahead


def is_shared() -> bool:
    """Tell whether other hosts go by the same clock."""
    return _Shared.ahead is not None


def shared_ahead() -> int | None:
    """Return what `follow` was told last."""
    return _Shared.ahead


def text(at: int) -> str:
    """Return a time as people and programs read it: `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(at / MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values to be shown: those with a name that ends in `_at` as times, the rest as they are."""
    return {name: text(value) if name.endswith("_at") and value else value for name, value in values.items()}
