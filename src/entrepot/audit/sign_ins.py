"""Sign-ins in the audit log, without a write for each.

Every failure is an event. Of the successes the first of a credential from an address is one, and those that follow
within ten minutes are counted and written as one more when the time is over: a client that sends its password with each
of a thousand requests leaves two rows. Rows are written together, a moment after what they tell of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.credentials import Basic
from entrepot.access.model import Principal
from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.oci.errors import RegistryError

_log = logging.getLogger(__name__)

#: Seconds within which sign-ins of one credential from one address are counted together.
WINDOW = 600.0
#: Seconds between two looks at what is to be written.
_FLUSH = 1.0
#: Rows that wait at most; with more, failures are counted instead of listed.
_MOST_WAITING = 10_000
_MOST_OPEN = 50_000
#: Whatever somebody sends as a name, no more of it is kept.
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class _Row:
    by: Source
    kind: str
    result: str
    detail: dict[str, object]
    count: int = 1


@dataclass(slots=True)
class _Window:
    by: Source
    ends: float
    more: int = 0


class SignInLog:
    """Takes note of sign-ins; `run` writes them."""

    def __init__(self, metadata: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metadata = metadata
        self._clock = clock
        self._waiting: deque[_Row] = deque()
        self._open: dict[tuple[str, str, str], _Window] = {}
        self._dropped = 0

    def succeeded(self, by: Source) -> None:
        """Note that somebody signed in."""
        key = (by.name, by.credential, by.address)
        window = self._open.get(key)
        if window is not None and self._clock() < window.ends:
            window.more += 1
            return
        if window is not None:
            self._close(window)
        if len(self._open) >= _MOST_OPEN:
            self._close(self._open.pop(next(iter(self._open))))
        self._open[key] = _Window(by, self._clock() + WINDOW)
        self._add(_Row(by, events.SIGN_IN, events.SUCCESS, {}))

    def failed(self, by: Source, reason: str) -> None:
        """Note that somebody tried to sign in and could not."""
        self._add(_Row(by, events.SIGN_IN, events.FAILURE, {"reason": reason}))

    async def run(self) -> None:
        """Write what was noted, every second, until cancelled; then the rest."""
        try:
            while True:
                await asyncio.sleep(_FLUSH)
                await self._flush_quietly()
        finally:
            for window in self._open.values():
                self._close(window)
            self._open.clear()
            await self._flush_quietly()

    async def flush(self) -> None:
        """Write what was noted, and the counts whose time is over, in one transaction."""
        now = self._clock()
        for key in [key for key, window in self._open.items() if window.ends <= now]:
            self._close(self._open.pop(key))
        rows = list(self._waiting)
        if self._dropped:
            rows.append(_Row(Source(name=""), events.SIGN_IN, events.FAILURE, {"reason": "too many"}, self._dropped))
        if not rows:
            return
        await self._metadata.write(lambda tx: _write(tx, rows), name="sign-ins")
        for _ in range(len(rows) - bool(self._dropped)):
            self._waiting.popleft()
        self._dropped = 0

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except Exception:  # noqa: BLE001 - a database that does not answer must not end the log: what waits is written later
            _log.exception("sign-ins could not be written to the audit log; they wait")

    def _close(self, window: _Window) -> None:
        if window.more:
            detail: dict[str, object] = {"within_seconds": int(WINDOW)}
            self._add(_Row(window.by, events.SIGN_IN, events.SUCCESS, detail, window.more))

    def _add(self, row: _Row) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.append(row)


class RecordedPasswords:
    """A `PasswordVerifier` that takes note of what another one says."""

    def __init__(self, verifier: PasswordVerifier, log: SignInLog) -> None:
        self._verifier = verifier
        self._log = log

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        try:
            principal = await self._verifier.verify(basic, client)
        except RegistryError as refused:
            tried = Source(name=basic.username[:_LONGEST_NAME], address=client, credential="password")
            self._log.failed(tried, refused.message)
            raise
        self._log.succeeded(Source(name=principal.name, address=client, credential=principal.credential))
        return principal


async def _write(tx: Transaction, rows: list[_Row]) -> None:
    for row in rows:
        await events.add(
            tx,
            row.kind,
            by=row.by,
            subject=f"user:{row.by.name}",
            detail=row.detail or None,
            result=row.result,
            count=row.count,
        )
