"""Retention: events older than a time go, from the oldest on, and the chain stays checkable.

On PostgreSQL the log is kept by month (`metadata.event_months`); there what the configuration removes is whole months.

The seal of the last event that went is kept as the anchor on which the first that stayed stands. So events go in the
order of the chain only: one that is to be kept keeps all after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from entrepot.audit.chain import Link
from entrepot.audit.seals import ANCHOR, SEALER
from entrepot.metadata import audit_log, clock, clock_check, event_months, events, settings
from entrepot.metadata.audit_log import EventRecord
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.events import Source
from entrepot.telemetry.progress import Progress, Unwatched

_BATCH = 1000


def _any(_event: EventRecord) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which events go: those older than `seconds`, up to the first that may not."""

    seconds: float
    may_go: Callable[[EventRecord], bool] = _any
    dry_run: bool = False
    #: Where events are kept by month, only whole months go, which costs next to nothing: one is dropped, not deleted.
    by_month: bool = False


class Retention:
    """Shortens the log."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata

    async def doubt(self) -> str | None:
        """Say why nothing may be removed for its age now; None when it may."""
        return await clock_check.reason(self._metadata)

    async def shorten(self, cut: Cut, progress: Progress | None = None, by: Source = SEALER) -> int:
        """Remove what is to go now; return how many events that were, or would be.

        Raises:
            Stopped: Somebody asked it to end.
        """
        progress = progress or Unwatched()
        before = clock.after(-cut.seconds)
        if cut.dry_run:
            return await self._count(cut, before, progress)
        total = 0
        try:
            if cut.by_month and self._metadata.dialect != SQLITE.name:
                total = await event_months.drop_old(self._metadata, before, _move_anchor)
                return total
            while count := await self._metadata.write(lambda tx: _remove(tx, cut, before), name="shorten audit log"):
                total += count
                await progress.step(total)
        finally:
            if total:
                detail = {"removed": total, "older_than_seconds": cut.seconds}
                await self._metadata.write(
                    lambda tx: events.add(tx, events.DELETE, by=by, subject="audit-log", detail=detail),
                    name="shorten audit log",
                )
        return total

    async def first_kept(self, cut: Cut) -> EventRecord | None:
        """Return the oldest event that is old enough and stays all the same, if that is what ends the cut."""
        anchor = Link.parse(await settings.find(self._metadata, ANCHOR))
        oldest = await audit_log.sealed(self._metadata, after=anchor.sequence, limit=1)
        return next((event for event in oldest if event.at < clock.after(-cut.seconds) and not cut.may_go(event)), None)

    async def _count(self, cut: Cut, before: int, progress: Progress) -> int:
        total, after = 0, Link.parse(await settings.find(self._metadata, ANCHOR)).sequence
        while going := await _going(self._metadata, cut, before, after):
            total += len(going)
            after = going[-1].sequence or after
            await progress.step(total)
        return total


async def _move_anchor(tx: Transaction, whole: event_months.Whole) -> None:
    await settings.put(tx, ANCHOR, Link(whole.sequence, whole.seal).text())


async def _going(reader: Reader, cut: Cut, before: int, after: int) -> Sequence[EventRecord]:
    oldest = await audit_log.sealed(reader, after=after, limit=_BATCH)
    return list(takewhile(lambda event: event.at < before and cut.may_go(event), oldest))


async def _remove(tx: Transaction, cut: Cut, before: int) -> int:
    anchor = Link.parse(await settings.find(tx, ANCHOR))
    old = await _going(tx, cut, before, anchor.sequence)
    if not old:
        return 0
    last = old[-1]
    assert last.sequence is not None
    assert last.seal is not None
    await settings.put(tx, ANCHOR, Link(last.sequence, last.seal).text())
    return await audit_log.remove(tx, last.sequence)
