"""Time as the database keeps it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MICROSECONDS = 1_000_000


def now() -> int:
    """Return the time in whole microseconds since the epoch, UTC."""
    return time.time_ns() // 1_000


def after(seconds: float) -> int:
    """Return the time `seconds` from now, in microseconds since the epoch."""
    return now() + int(seconds * MICROSECONDS)


def text(at: int) -> str:
    """Return a time as people and programs read it: `2026-01-02T03:04:05Z`."""
    return datetime.fromtimestamp(at / MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values to be shown: those with a name that ends in `_at` as times, the rest as they are."""
    return {name: text(value) if name.endswith("_at") and value else value for name, value in values.items()}
