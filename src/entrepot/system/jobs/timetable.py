"""When something runs: cron lines of five fields or of six with seconds first, their short names, and `@every 1h30m`.

Times are those of a time zone. A time that a change of clocks leaves out comes as soon as the clocks have moved; one
that happens twice comes once, unless the line has six fields or runs every hour: then it comes whenever it fits.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from entrepot.config.durations import format_duration, parse_duration
from entrepot.metadata.clock import MICROSECONDS

_NAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_EVERY: Final = "@every "
_LONGEST: Final = 200
#: The shortest time between two runs that a schedule may ask for, in seconds.
SHORTEST: Final = 1.0
_FORM: Final = "write a cron line of 5 fields (or 6 with seconds first), @daily, @weekly or @every 12h"


class TimetableInvalid(ValueError):
    """A schedule that cannot be read; the message says how to write it."""


def next_time(line: str, time_zone: str, after: int) -> int:
    """Return the first time after one at which a line says to run, both in microseconds since the epoch.

    Raises:
        TimetableInvalid: The line or the time zone means nothing, or no time ever fits it.
    """
    zone = _zone(time_zone)
    if len(line) > _LONGEST:
        raise TimetableInvalid(f"the schedule has more than {_LONGEST} characters")
    if line.startswith(_EVERY):
        return after + int(_interval(line) * MICROSECONDS)
    try:
        moment = next(CronSim(_NAMES.get(line, line), datetime.fromtimestamp(after / MICROSECONDS, zone)))
    except CronSimError as error:
        raise TimetableInvalid(f"the schedule {line!a} cannot be read: {error}; {_FORM}") from None
    except StopIteration:
        raise TimetableInvalid(f"the schedule {line!a} never comes; {_FORM}") from None
    return int(moment.timestamp() * MICROSECONDS)


def first_time(line: str, time_zone: str, now: int) -> int:
    """Return the first time of a new schedule: at once where it only says how long to wait between two runs.

    Raises:
        TimetableInvalid: As `next_time`.
    """
    following = next_time(line, time_zone, now)
    return now if line.startswith(_EVERY) else following


def every(seconds: float) -> str:
    """Return the line for a fixed time between two runs."""
    return _EVERY + format_duration(max(seconds, SHORTEST))


def _interval(line: str) -> float:
    try:
        seconds = parse_duration(line.removeprefix(_EVERY).strip())
    except ValueError:
        raise TimetableInvalid(f"the schedule {line!a} cannot be read; {_FORM}") from None
    if seconds < SHORTEST:
        raise TimetableInvalid(f"the schedule {line!a} is below the shortest time, {SHORTEST:g} s")
    return seconds


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimetableInvalid(f"there is no time zone {name[:50]!a}; write one as Europe/Berlin or UTC") from None
