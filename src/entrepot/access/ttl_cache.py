"""A bounded memory with an end to every entry, for answers that are dear to find and safe to keep a while."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A map that forgets each entry after `seconds`, and the least recently used one when it outgrows `limit`."""

    def __init__(self, *, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._cleared = 0

    @property
    def generation(self) -> int:
        """How often everything was dropped: what was asked for before that is no news any more."""
        return self._cleared

    def __len__(self) -> int:
        """Count the entries, those included whose time is over and that nobody asked for since."""
        return len(self._entries)

    def find(self, key: K) -> V | None:
        """Return what was put under `key`, unless its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry[0]:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: K, value: V, *, seconds: float | None = None, generation: int | None = None) -> None:
        """Keep `value` under `key`, for `seconds` when the usual time is not meant.

        With the `generation` of when it was asked for, it is not kept if everything was dropped since.
        """
        if generation is not None and generation != self.generation:
            return
        self._entries[key] = (self._clock() + (self._seconds if seconds is None else seconds), value)
        self._entries.move_to_end(key)
        while len(self._entries) > self.limit:
            self._entries.popitem(last=False)

    def forget(self, key: K) -> None:
        """Drop one entry, if it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Drop all entries."""
        self._cleared += 1
        self._entries.clear()


class Note(Memory[K, V]):
    """A memory for one moment, in front of a lasting one that is told the same."""

    def __init__(self, lasting: Memory[K, V]) -> None:
        super().__init__(limit=lasting.limit, seconds=math.inf)
        self._lasting = lasting

    @property
    def generation(self) -> int:
        """See `Memory`; that of the lasting one."""
        return self._lasting.generation

    def put(self, key: K, value: V, *, seconds: float | None = None, generation: int | None = None) -> None:
        """See `Memory`; for both. For the one moment it counts in any case."""
        super().put(key, value)
        self._lasting.put(key, value, seconds=seconds, generation=generation)
