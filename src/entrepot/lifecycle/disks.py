"""Disks and how much of each is free, and alerts about that: one for each event, however many processes look."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from entrepot.lifecycle.actor import INTERNAL
from entrepot.metadata import events, settings
from entrepot.metadata.database import Database, Transaction

_log = logging.getLogger(__name__)

#: What is said last of each disk stands under this; nothing stands where all is well.
_SAID: Final = "lifecycle.disk."
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Space:
    """What a disk has, in bytes."""

    total: int
    free: int

    @property
    def percent(self) -> float:
        """Return how much of it is free."""
        return _PERCENT * self.free / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Percents of a disk that are free: where it begins to be low, and where it no longer is."""

    low: int
    high: int


class Alert(StrEnum):
    """What is said of a disk."""

    LOW = "below the low bound, clean-up begins"
    NOT_ENOUGH = "nothing more may go, and too little is free: add space, or let more go"
    ENOUGH = "clean-up has ended"
    OTHER_LOW = "below the low bound, and no clean-up frees anything there: add space"
    OTHER_ENOUGH = "enough is free again"


_BEGINNINGS: Final = frozenset({Alert.LOW, Alert.OTHER_LOW})
_ENDS: Final = frozenset({Alert.ENOUGH, Alert.OTHER_ENOUGH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk that is looked at: what it holds, and how to look."""

    name: str
    space: Callable[[], Awaitable[Space]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskAlerts:
    """Writes alerts down, in the audit log and in the log, unless another process has."""

    metadata: Database
    bounds: Bounds

    async def tell(self, disk: str, alert: Alert, space: Space) -> bool:
        """Say something of a disk, if it is news; tell whether it was."""
        if alert in _ENDS and await settings.find(self.metadata, _SAID + disk) is None:
            return False
        if news := await self.metadata.write(partial(self._write, disk, alert, space), name="disk alert"):
            said = {"disk": disk, "free": space.free, "total": space.total}
            _log.warning("the disk of the %s has %.1f %% free: %s", disk, space.percent, alert, extra=said)
        return news

    async def _write(self, disk: str, alert: Alert, space: Space, tx: Transaction) -> bool:
        if not await _is_news(tx, _SAID + disk, alert):
            return False
        bounds = self.bounds
        said = {"disk": disk, "free": space.free, "total": space.total, "low": bounds.low, "high": bounds.high}
        result = events.FAILURE if alert is Alert.NOT_ENOUGH else events.SUCCESS
        detail = {"alert": alert, **said}
        await events.add(tx, events.ALERT, by=INTERNAL, subject="disk", detail=detail, result=result)
        return True


async def _is_news(tx: Transaction, key: str, alert: Alert) -> bool:
    """Note what is said now; it is no news where the same was said, or where it began long ago."""
    if alert in _ENDS:
        return await settings.remove(tx, key)
    if alert in _BEGINNINGS:
        return await settings.add(tx, key, alert)
    return await settings.change(tx, key, alert)
