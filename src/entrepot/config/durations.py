"""Durations as Go writes them: `1h30m`, `250ms`, `0`.

Spec: https://pkg.go.dev/time#ParseDuration. We keep seconds in a float.
"""

import re
from fractions import Fraction

_UNITS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek small letter mu
    "ns": 1,
}
_PART = re.compile("([0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_WHOLE = re.compile(f"([-+]?)((?:{_PART.pattern})+)")
_LONGEST = 2**63 - 1  # nanoseconds in Go's int64
_WRITTEN = ("h", "m", "s", "ms", "us", "ns")

NANOSECONDS = 10**9


def parse_duration(text: str) -> float:
    """Seconds meant by a Go duration.

    Raises:
        ValueError: Not a Go duration, or longer than Go can hold (292 years).
    """
    if text in {"0", "+0", "-0"}:
        return 0.0
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        raise ValueError("not a duration")
    nanoseconds = sum(int(Fraction(number) * _UNITS[unit]) for number, unit in _PART.findall(whole[2]))
    return from_nanoseconds(-nanoseconds if whole[1] == "-" else nanoseconds)


def from_nanoseconds(nanoseconds: int) -> float:
    """Seconds of a whole number of nanoseconds, which is what Go makes of a bare integer.

    Raises:
        ValueError: More than Go can hold.
    """
    if abs(nanoseconds) > _LONGEST:
        raise ValueError("longer than 292 years")
    return nanoseconds / NANOSECONDS


def format_duration(seconds: float) -> str:
    """The shortest sum of whole units, which `parse_duration` reads back."""
    left = round(Fraction(abs(seconds)) * NANOSECONDS)  # a float product would round twice, and miss by one
    parts = []
    for unit in _WRITTEN:
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if seconds < 0 else "") + "".join(parts) if parts else "0s"
