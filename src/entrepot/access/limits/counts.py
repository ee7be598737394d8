"""Where the workers, of one machine or of many, add up what each has counted.

Each says what it has counted itself, of a span in all and not since the last time. So nothing is counted twice when it
says that again, and what the others' memory lost is there again a moment later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from entrepot.metadata.database import Database
from entrepot.metadata.people import request_counts

#: What is counted, and when the span ends (seconds since the epoch).
Key = tuple[str, int]


class SharedCounts(Protocol):
    """A place where counts are added up. What it says is a hint: it decides nothing but whether there were too many."""

    @property
    def every(self) -> float:
        """Seconds between two exchanges."""
        ...

    async def exchange(self, own: Mapping[Key, int], *, now: int) -> Mapping[Key, int]:
        """Say what this worker has counted in all, and learn what all together have; nothing of what is not told.

        Raises:
            DatabaseError: That is not possible now.
        """
        ...


class DatabaseCounts:
    """The counts in the database that all workers share, added up once a second."""

    every = 1.0

    def __init__(self, work: Database) -> None:
        self._work = work
        self._told: dict[Key, int] = {}

    async def exchange(self, own: Mapping[Key, int], *, now: int) -> Mapping[Key, int]:
        """See `SharedCounts`."""
        self._told = {key: count for key, count in self._told.items() if key[1] > now}
        fresh = {key: count - self._told.get(key, 0) for key, count in own.items() if count > self._told.get(key, 0)}
        if fresh:
            await self._work.write(lambda tx: request_counts.add(tx, fresh, now=now), name="count requests")
            self._told |= {key: self._told.get(key, 0) + count for key, count in fresh.items()}
        return await request_counts.read(self._work, [name for name, _ in own], now=now) if own else {}
