"""Events of what changes nothing, written together a moment after: a sign-in or a pull waits for no transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source

_log = logging.getLogger(__name__)

#: Seconds between two looks at what is to be written.
_FLUSH = 1.0
#: Rows that wait at most; what comes beyond is counted instead of listed.
_MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One event that waits to be written; fields as in `metadata.events.add`."""

    by: Source
    kind: str
    result: str = events.SUCCESS
    subject: str | None = None
    repository: str | None = None
    digest: str | None = None
    tag: str | None = None
    detail: Mapping[str, object] | None = None
    count: int = 1


class NotedEvents:
    """Keeps events and writes them, many in one transaction."""

    def __init__(self, metadata: Database, *, lost: Noted, paused: Callable[[], bool] = lambda: False) -> None:
        """Write to a database; `lost` stands for what did not fit, `paused` says when nothing may be written."""
        self._metadata = metadata
        self._lost = lost
        self._paused = paused
        self._waiting: deque[Noted] = deque()
        self._dropped = 0

    def add(self, noted: Noted) -> None:
        """Keep an event."""
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.append(noted)

    async def flush(self) -> None:
        """Write what was noted, in one transaction."""
        rows = list(self._waiting)
        if self._dropped:
            rows.append(replace(self._lost, count=self._dropped))
        if not rows or self._paused():
            return
        await self._metadata.write(lambda tx: _write(tx, rows), name="noted events")
        for _ in range(len(rows) - bool(self._dropped)):
            self._waiting.popleft()
        self._dropped = 0

    async def run(self, prepare: Callable[[bool], None] = lambda _last: None) -> None:
        """Write what was noted, every second, until cancelled; then the rest.

        Args:
            prepare: Called before each writing, to note what has become due; told whether it is the last time.
        """
        try:
            while True:
                await asyncio.sleep(_FLUSH)
                prepare(False)  # noqa: FBT003 - what it is told is said above
                await self._flush_quietly()
        finally:
            prepare(True)  # noqa: FBT003 - as above
            await self._flush_quietly()

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except Exception:  # noqa: BLE001 - a database that does not answer must not end the log: what waits is written later
            _log.exception("events could not be written to the audit log; they wait")


async def _write(tx: Transaction, rows: list[Noted]) -> None:
    for row in rows:
        await events.add(
            tx,
            row.kind,
            by=row.by,
            repository=row.repository,
            digest=row.digest,
            tag=row.tag,
            subject=row.subject,
            detail=row.detail,
            result=row.result,
            count=row.count,
        )
