"""Shapes that many answers share."""

from __future__ import annotations

from datetime import UTC, datetime

from entrepot.metadata.clock import MICROSECONDS


def moment(microseconds: int) -> datetime:
    """Return a time as it is written in answers."""
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC)


def moment_or_none(microseconds: int | None) -> datetime | None:
    """Return a time that there may not be."""
    return None if microseconds is None else moment(microseconds)
