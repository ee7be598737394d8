"""Bounds what questions about space cost: one of each person at a time, few in all, and each only so long.

Each statement of such a question has a bound of its own, but one question may take very many statements. The bounds
are those of one process; a server with several workers answers as many questions in each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from entrepot.metadata.errors import TookTooLong
from entrepot.oci.errors import TooManyRequests, Unavailable

#: Questions that are worked on at the same time, and questions of one person, of which one is worked on.
AT_ONCE: Final = 2
OF_ONE: Final = 4
#: Seconds that a question waits for its turn at most, and those that its answer may take then.
WAIT_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 5


@dataclass(slots=True)
class _Line:
    """The questions of one person."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


@dataclass(slots=True, kw_only=True)
class Turns:
    """Gives each question its turn."""

    wait_seconds: float = field(default_factory=lambda: WAIT_SECONDS)
    seconds: float = field(default_factory=lambda: LONGEST_SECONDS)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _lines: dict[str, _Line] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Wait for somebody's turn, and have it while the answer is worked out.

        Raises:
            TooManyRequests: They have asked enough questions that are not answered yet.
            Unavailable: Others' questions took all the time.
            TookTooLong: The answer did.
        """
        async with AsyncExitStack() as stack:
            await self._wait(stack, who)
            try:
                async with asyncio.timeout(self.seconds):
                    yield
            except TimeoutError:
                raise TookTooLong(
                    f"the answer takes more than {self.seconds:g} s; ask about less at a time, "
                    "or look at what the last analysis found"
                ) from None

    async def _wait(self, stack: AsyncExitStack, who: str) -> None:
        line = self._lines.setdefault(who, _Line())
        if line.count >= OF_ONE:
            message = f"{line.count} questions of yours about space are not answered yet; wait for the answers"
            raise TooManyRequests(_RETRY_SECONDS, message)
        line.count += 1
        stack.callback(self._leave, who)
        try:
            async with asyncio.timeout(self.wait_seconds):
                await stack.enter_async_context(line.turn)
                await stack.enter_async_context(self._room)
        except TimeoutError:
            message = f"other questions about space took {self.wait_seconds:g} s; ask again in a while"
            raise Unavailable(_RETRY_SECONDS, message) from None

    def _leave(self, who: str) -> None:
        self._lines[who].count -= 1
        if not self._lines[who].count:
            del self._lines[who]
