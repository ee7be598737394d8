"""How many uploads go on at once: of one account, of nobody from one address, and to one project.

An upload takes a place with the request that opens it, and gives it up with the one that completes or cancels it, or
that breaks off. The places are in the database, so that all workers give them out together and an upload may go from
one worker to another. A place counts for a few seconds only: the worker that is receiving says again and again that it
goes on, and of a client that is silent between two requests, or a worker that dies, the place is free soon after.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from entrepot.access.limits.rates import Standing
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.people import request_counts
from entrepot.metadata.transaction_turns import in_turn

_log = logging.getLogger(__name__)
#: Seconds for which a place counts after it was last said that its upload goes on, and between two times of saying so.
COUNTS_FOR: Final = 6
_SAY_EACH: Final = 2.0
#: By so many seconds the clocks of two workers may be apart, as these are whole ones.
_CLOCKS_APART: Final = 2
_HEAD: Final = "places"


class PlaceKind(StrEnum):
    """What is limited; the names are those of the configuration."""

    UPLOADS = "uploads"
    PROJECT_UPLOADS = "projectuploads"


#: Whose place it is: an account's, an address's, a project's.
Key = tuple[PlaceKind, str]


@dataclass(frozen=True, slots=True)
class Place:
    """What one upload takes of each limit: the names of its rows."""

    rows: Mapping[Key, str]

    @classmethod
    def of(cls, keys: Iterable[Key], upload: Sequence[str]) -> Place:
        """Name the place of an upload; `upload` is what tells it from all others."""
        return cls({key: f"{_beginning(key)}{_digest(*upload)}" for key in keys})


class PlacesTaken(Exception):
    """No place is left of one kind."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.kind)
        self.standing = standing


class Places:
    """Gives out places, together with all other workers."""

    def __init__(self, limits: Mapping[str, int], work: Database, *, now: Callable[[], float] = clock_seconds) -> None:
        """Limit what is wanted.

        Args:
            limits: Places by the names of `PlaceKind`; 0 means no limit.
            work: Where the places are.
            now: The time, in seconds since the epoch.
        """
        self._limits = {PlaceKind(name): most for name, most in limits.items() if most}
        self._work = work
        self._now = now
        self._running: Counter[str] = Counter()

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return bool(self._limits)

    def limits(self, kind: PlaceKind) -> bool:
        """Tell whether there is a limit of this kind."""
        return kind in self._limits

    async def take(self, place: Place) -> list[Standing]:
        """Take a place, or go on with one that the upload has; it counts until `pause` or `leave`.

        Returns:
            How many more there are of each kind.

        Raises:
            PlacesTaken: None is left, and the upload has none.
            DatabaseError: Nobody can tell.
        """
        now = int(self._now())

        async def take(tx: Transaction) -> list[Standing]:
            await in_turn(tx, *map(_beginning, place.rows))
            standings = [await self._standing(tx, key, row, now) for key, row in place.rows.items()]
            await request_counts.add(tx, self._saying(place.rows.values(), now), now=now)
            return standings

        standings = await self._work.write(take, name="take place")
        self._running.update(place.rows.values())
        return standings

    def pause(self, place: Place) -> None:
        """Keep a place for the upload's next request, which comes soon or not at all."""
        self._running.subtract(place.rows.values())
        self._running = +self._running

    async def leave(self, place: Place) -> None:
        """Give a place up; where that cannot be written now, it lapses."""
        gone = [row for row in place.rows.values() if not self._running[row]]
        if gone:
            await self._quietly(lambda tx: request_counts.remove(tx, gone))

    async def run(self) -> None:
        """Say again and again which uploads go on here, until cancelled."""
        while True:
            await asyncio.sleep(_SAY_EACH)
            await self.say()

    async def say(self) -> None:
        """Say which uploads go on here."""
        if self._running:
            now = int(self._now())
            told = self._saying(self._running, now)
            await self._quietly(lambda tx: request_counts.add(tx, told, now=now))

    async def _standing(self, tx: Transaction, key: Key, row: str, now: int) -> Standing:
        """Tell what is left when this one is taken.

        Raises:
            PlacesTaken: There is none for it.
        """
        kind, beginning = key[0], _beginning(key)
        beyond = beginning[:-1] + "0"  # "0" comes after "/"
        taken = await request_counts.read_range(tx, beginning, beyond, now=now, longest=COUNTS_FOR + _CLOCKS_APART)
        left = self._limits[kind] - len(taken.keys() - {row}) - 1
        standing = Standing(
            kind=kind, limit=self._limits[kind], remaining=max(0, left), exceeded=left < 0, unit="concurrent-requests"
        )
        if standing.exceeded and row not in taken:
            raise PlacesTaken(standing)
        return standing

    def _saying(self, rows: Iterable[str], now: int) -> Mapping[request_counts.Key, int]:
        return dict.fromkeys(((row, now + COUNTS_FOR) for row in rows), 1)

    async def _quietly(self, work: Callable[[Transaction], Awaitable[None]]) -> None:
        try:
            await self._work.write(work, name="count uploads")
        except DatabaseError:
            _log.warning("which uploads go on could not be noted for all workers", exc_info=True)


def _beginning(key: Key) -> str:
    return f"{_HEAD}/{_digest(*key)}/"


def _digest(*parts: str) -> str:
    """Name something of any length and any characters."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
