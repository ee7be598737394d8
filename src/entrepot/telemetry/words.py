"""Amounts and times as people read them; the one form that everything of ours uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP: Final = 1024
#: From how many seconds on a unit of time is used, the largest first.
_SPANS: Final = (
    (2 * 365 * 86_400, 365 * 86_400, "year"),
    (60 * 86_400, 30 * 86_400, "month"),
    (14 * 86_400, 7 * 86_400, "week"),
    (48 * 3_600, 86_400, "day"),
    (90 * 60, 3_600, "hour"),
    (90, 60, "minute"),
    (5, 1, "second"),
)


def spelt(count: int) -> str:
    """Write a number of bytes: `1.5 GiB`."""
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return counted(count, "byte") if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number with what it counts: `1 tag`, `2,000 tags`, `3 repositories`."""
    return f"{count:,} {one if abs(count) == 1 else many or _plural(one)}"


def _plural(one: str) -> str:
    return f"{one[:-1]}ies" if one.endswith("y") and one[-2:-1] not in "aeiou" else f"{one}s"


def since(moment: datetime, now: datetime | None = None) -> str:
    """Write how far a moment is from now: `3 hours ago`, `in 6 days`."""
    distance = (now or datetime.now(UTC)) - moment
    ahead = distance < timedelta()
    seconds = int(abs(distance).total_seconds())
    for least, unit, word in _SPANS:
        if seconds >= least:
            span = counted(seconds // unit, word)
            return f"in {span}" if ahead else f"{span} ago"
    return "now"
