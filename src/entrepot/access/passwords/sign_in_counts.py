"""Where failed sign-ins are counted: in the memory of one process, or in the database that all workers share."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from entrepot.access.ttl_cache import Memory
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.people import failed_sign_ins

_log = logging.getLogger(__name__)

#: Seconds without a failure after which all is forgotten.
FORGET = 900.0
#: Seconds for which a network counts as one where the account's owner is.
_FAMILIAR = 30 * 24 * 3600.0
#: Seconds between two notes of the same success.
_NOTE = 24 * 3600.0
_LIMIT = 50_000
#: Failures after which old rows are looked for.
_TIDY = 100

#: An account and a network.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Failures with the time of the last one, by the counter's clock, and whether the account is known there."""

    failures: Mapping[Key, tuple[int, float]]
    familiar: bool


class Counts(Protocol):
    """Counts failures."""

    def now(self) -> float:
        """Return the time, in seconds."""
        ...

    async def read(self, keys: Sequence[Key], place: Key) -> Standing:
        """Return the failures under `keys`, and whether an account has signed in from a network."""
        ...

    async def failed(self, keys: Sequence[Key]) -> None:
        """Count one more under each key."""
        ...

    async def succeeded(self, place: Key) -> None:
        """Forget the failures of this account from there, and note that it signed in."""
        ...


class MemoryCounts:
    """Counts for one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._failures: Memory[Key, tuple[int, float]] = Memory(limit=_LIMIT, seconds=FORGET, clock=clock)
        self._familiar: Memory[Key, float] = Memory(limit=_LIMIT, seconds=_FAMILIAR, clock=clock)

    async def read(self, keys: Sequence[Key], place: Key) -> Standing:
        """See `Counts`."""
        found = {key: entry for key in keys if (entry := self._failures.find(key)) is not None}
        return Standing(found, self._familiar.find(place) is not None)

    async def failed(self, keys: Sequence[Key]) -> None:
        """See `Counts`."""
        for key in keys:
            count, _ = self._failures.find(key) or (0, 0.0)
            self._failures.put(key, (count + 1, self.now()))

    async def succeeded(self, place: Key) -> None:
        """See `Counts`."""
        self._failures.forget(place)
        self._familiar.put(place, self.now())


class SharedCounts:
    """Counts for all workers. While the database cannot be used each counts for itself: nobody guesses more freely."""

    def __init__(self, work: Database, *, now: Callable[[], int] = clock.now) -> None:
        self._work = work
        self._now = now
        self._own = MemoryCounts(clock=self.now)
        self._since_tidied = 0

    def now(self) -> float:
        """See `Counts`."""
        return self._now() / clock.MICROSECONDS

    async def read(self, keys: Sequence[Key], place: Key) -> Standing:
        """See `Counts`."""
        accounts, networks = {key[0] for key in keys}, {key[1] for key in keys}
        try:
            rows = await failed_sign_ins.read(self._work, accounts, networks, since=self._ago(FORGET))
            known = await failed_sign_ins.last_success(self._work, *place)
        except DatabaseError:
            _log.warning("failed sign-ins cannot be read; this worker counts for itself", exc_info=True)
            return await self._own.read(keys, place)
        found = {key: (row.count, row.last_at / clock.MICROSECONDS) for key, row in rows.items() if key in keys}
        return Standing(found, known is not None and known > self._ago(_FAMILIAR))

    async def failed(self, keys: Sequence[Key]) -> None:
        """See `Counts`."""
        await self._own.failed(keys)
        at, since = self._now(), self._ago(FORGET)
        self._since_tidied += 1
        tidy = self._since_tidied >= _TIDY

        async def count(tx: Transaction) -> None:
            for account, network in sorted(keys):
                await failed_sign_ins.add(tx, account, network, at=at, since=since)
            if tidy:
                await failed_sign_ins.remove_old(tx, failures_before=since, places_before=self._ago(_FAMILIAR))

        if await self._write(count) and tidy:
            self._since_tidied = 0

    async def succeeded(self, place: Key) -> None:
        """See `Counts`; writes only what is not there yet: most sign-ins repeat what one did a minute ago."""
        await self._own.succeeded(place)
        standing = await self.read([place], place)
        known = await self._last_success(place)
        if not standing.failures and known is not None and known > self._ago(_NOTE):
            return
        at = self._now()

        async def note(tx: Transaction) -> None:
            await failed_sign_ins.remove(tx, *place)
            await failed_sign_ins.note_success(tx, *place, at=at)

        await self._write(note)

    async def _last_success(self, place: Key) -> int | None:
        try:
            return await failed_sign_ins.last_success(self._work, *place)
        except DatabaseError:
            return None

    async def _write(self, work: Callable[[Transaction], Awaitable[None]]) -> bool:
        try:
            await self._work.write(work, name="count sign-ins")
        except DatabaseError:
            _log.warning("a sign-in could not be counted for all workers", exc_info=True)
            return False
        return True

    def _ago(self, seconds: float) -> int:
        return self._now() - int(seconds * clock.MICROSECONDS)
