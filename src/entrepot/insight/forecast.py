"""The day on which there is no room any more, if things go on as they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from entrepot.insight.trend import Point, Trend, trend_of

#: Days beyond which nothing is foretold.
HORIZON: Final = 3_650


class Outlook(StrEnum):
    """What can be said."""

    UNLIMITED = "unlimited"  #: there is no limit to reach
    FULL = "full"  #: it is reached
    UNKNOWN = "not enough history"
    STEADY = "not filling"  #: not within `HORIZON`
    FILLING = "filling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When something is full; days are counted since 1970."""

    outlook: Outlook
    used: int
    limit: int | None
    points: int  #: days that it is made of
    trend: Trend | None = None
    day: int | None = None
    earliest: int | None = None  #: at the fastest growth that the past allows
    latest: int | None = None  #: at the slowest; None where that may be never

    def days_left(self, today: int) -> int | None:
        """Return the days until it is full, up to `HORIZON`; None where nothing can be said."""
        match self.outlook:
            case Outlook.FULL:
                return 0
            case Outlook.FILLING if self.day is not None:
                return self.day - today
            case Outlook.STEADY:
                return HORIZON
        return None


def foretell(points: Sequence[Point], limit: int | None) -> Forecast:
    """Say when something is full, from one day's value after the other; the last is today's."""
    used, trend = points[-1].bytes if points else 0, trend_of(points)
    dates = _Dates()
    if limit is None:
        outlook = Outlook.UNLIMITED
    elif points and used >= limit:
        outlook = Outlook.FULL
    elif trend is None:
        outlook = Outlook.UNKNOWN
    else:
        dates = _dates(points[-1].day, limit - used, trend)
        outlook = Outlook.STEADY if dates.day is None else Outlook.FILLING
    return Forecast(
        outlook=outlook,
        used=used,
        limit=limit,
        points=len(points),
        trend=trend,
        day=dates.day,
        earliest=dates.earliest,
        latest=dates.latest,
    )


@dataclass(frozen=True, slots=True)
class _Dates:
    day: int | None = None
    earliest: int | None = None
    latest: int | None = None


def _dates(today: int, room: int, trend: Trend) -> _Dates:
    return _Dates(*(_reached(today, room, per_day) for per_day in (trend.slope, trend.highest, trend.lowest)))


def _reached(today: int, room: int, per_day: float) -> int | None:
    """Return the day on which so much more is used; None when that is further off than anybody can tell."""
    if per_day * HORIZON < room:
        return None
    return today + int(room / per_day)
