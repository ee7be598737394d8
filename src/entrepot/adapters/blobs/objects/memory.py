"""The memory in which uploads to an object store wait to be large enough for a part: bounded, and shared fairly.

A part must be in memory before it is sent, since the store wants its length first. An upload may hold a little without
asking; for more it takes a place, and whoever finds no place waits, so that its client waits, too. While somebody waits
nobody holds a place for long: what came is sent, and the upload stands in line again.

Each owner of uploads has a line of their own, and the next place goes to who holds least: however many slow uploads one
account has, another's waits for one of them at most, and does not give way to them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

#: Bytes that an upload holds without a place.
FREE: Final = 64 << 10
_BUDGET: Final = 32 << 20
#: Seconds for which a place is held while others wait: by one that gets bytes, and by one that does not.
_TURN: Final = 1.0
LONG_TURN: Final = 5.0


class Memory:
    """The memory of one process."""

    def __init__(self, budget: int = _BUDGET) -> None:
        self._free = budget
        self.budget = budget
        #: Who waits, by owners, in the order in which these are served where they hold the same.
        self._waiting: dict[str, deque[tuple[Place, int, asyncio.Future[None]]]] = {}
        self._held: set[Place] = set()
        self._held_by: Counter[str] = Counter()

    @property
    def contended(self) -> bool:
        """Tell whether somebody waits."""
        return bool(self._waiting)

    def is_wanted(self, place: Place) -> bool:
        """Tell whether somebody waits for whom this place should be given up: its owner, or one who holds less."""
        held = self._held_by[place.owner]
        return any(owner == place.owner or self._held_by[owner] < held for owner in self._waiting)

    def place(self, owner: str, evict: Callable[[], None]) -> Place:
        """Give a place that holds nothing yet.

        Args:
            owner: Whose it is.
            evict: Called when others have waited for long while this one waits for its client.
        """
        return Place(self, owner, evict)

    async def enter(self, place: Place, size: int) -> None:
        """Wait for so many bytes."""
        if not self._waiting and size <= self._free:
            self._give(place, size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place.owner, deque()).append((place, size, turn))
        self._next()
        if not turn.done():
            for held in self._held:
                held.hurry()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                place.leave()
            else:
                self._forget(place.owner, turn)
                self._next()
            raise

    def grow(self, place: Place, size: int) -> bool:
        """Let a place hold more bytes if that costs nobody anything."""
        if self._waiting or size > self._free:
            return False
        self._give(place, size)
        return True

    def take_back(self, place: Place, size: int) -> None:
        """Let others have so many bytes of a place."""
        self._free += size
        self._held_by[place.owner] -= size
        if not self._held_by[place.owner]:
            del self._held_by[place.owner]
        place.size -= size
        if place.size == 0:
            self._held.discard(place)
        self._next()

    def _give(self, place: Place, size: int) -> None:
        self._free -= size
        self._held_by[place.owner] += size
        place.size += size
        self._held.add(place)

    def _next(self) -> None:
        while self._waiting:
            owner = min(self._waiting, key=self._held_by.__getitem__)
            line = self._waiting.pop(owner)
            place, size, turn = line[0]
            if size > self._free and not turn.done():
                self._waiting = {owner: line, **self._waiting}
                return
            line.popleft()
            if line:
                self._waiting[owner] = line  # behind the others
            if not turn.done():
                self._give(place, size)
                place.since = asyncio.get_running_loop().time()
                turn.set_result(None)
                if self._waiting:
                    place.hurry()

    def _forget(self, owner: str, turn: asyncio.Future[None]) -> None:
        line = deque(entry for entry in self._waiting.get(owner, ()) if entry[2] is not turn)
        if line:
            self._waiting[owner] = line
        else:
            self._waiting.pop(owner, None)


class Place:
    """What one upload may hold."""

    def __init__(self, memory: Memory, owner: str, evict: Callable[[], None]) -> None:
        self.owner = owner
        self._memory = memory
        self._evict = evict
        self._hurried: asyncio.TimerHandle | None = None
        self.size = 0
        self.since = 0.0

    @property
    def limit(self) -> int:
        """Bytes that the upload may hold now."""
        return max(self.size, FREE)

    def is_over(self, *, is_handy: bool) -> bool:
        """Tell whether others wait and this one had its turn; it is shorter where giving way costs nothing."""
        turn = _TURN if is_handy else LONG_TURN
        return (
            bool(self.size) and self._memory.is_wanted(self) and asyncio.get_running_loop().time() - self.since > turn
        )

    async def enter(self, size: int) -> None:
        """Wait for so many bytes."""
        if self.size < size:
            await self._memory.enter(self, size - self.size)
            self.since = asyncio.get_running_loop().time()

    def grow(self, size: int) -> None:
        """Hold so many bytes, if that costs nobody anything."""
        if self.size < size:
            self._memory.grow(self, size - self.size)

    def leave(self) -> None:
        """Hold nothing more."""
        if self._hurried is not None:
            self._hurried.cancel()
            self._hurried = None
        if self.size:
            self._memory.take_back(self, self.size)

    def hurry(self) -> None:
        """Be told that others wait."""
        if self._hurried is None:
            loop = asyncio.get_running_loop()
            self._hurried = loop.call_at(max(self.since + LONG_TURN, loop.time()), self._end)

    def _end(self) -> None:
        self._hurried = None
        if self.size and self._memory.contended:
            if self._memory.is_wanted(self):
                self._evict()
            self._hurried = asyncio.get_running_loop().call_later(_TURN, self._end)
