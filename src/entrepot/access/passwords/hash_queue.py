"""The queue of passwords that wait to be hashed: one at a time, fair by network, with room for who is known.

Guesses from many networks must not keep out the right password of somebody who signs in for the first time. So whose
account is known at its network comes first, then networks without a failure, then the others; within these, networks
take turns, however many passwords one of them sends. When the queue is full, the last of whoever has the most waiting,
among those that come last, is told to try again, and a newcomer only when that is itself.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from entrepot.access.passwords.throttle import Known, site_of
from entrepot.oci.errors import TooManyRequests

#: How many may wait, and for how long: clients do not wait for ever either.
_MOST: Final = 256
_LONGEST_SECONDS: Final = 20.0

Waiter = asyncio.Future[None]


class HashQueue:
    """Lets one in at a time."""

    def __init__(self, *, most: int = _MOST, seconds: float = _LONGEST_SECONDS) -> None:
        """Begin empty."""
        self._most = most
        self._seconds = seconds
        self._busy = False
        self._waiting = 0
        self._lines: dict[Known, OrderedDict[str, deque[Waiter]]] = {known: OrderedDict() for known in Known}

    @asynccontextmanager
    async def turn(self, client: str, known: Known) -> AsyncIterator[None]:
        """Wait until nobody else hashes.

        Raises:
            TooManyRequests: There are too many, or it takes too long.
        """
        if self._busy:
            await self._wait(site_of(client), known)
        self._busy = True
        try:
            yield
        finally:
            self._let_next_in()

    async def _wait(self, site: str, known: Known) -> None:
        line = self._lines[known]
        if self._waiting >= self._most and not self._displace(known, len(line.get(site, ()))):
            raise _come_back()
        waiter: Waiter = asyncio.get_running_loop().create_future()
        line.setdefault(site, deque()).append(waiter)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._let_next_in()  # it was this one's turn when it gave up
            else:
                self._leave(line, site, waiter)
            if isinstance(error, TimeoutError):
                raise _come_back() from None
            raise

    def _displace(self, known: Known, waiting: int) -> bool:
        """Send away the last of whoever comes last and has the most waiting; False when that is the newcomer."""
        last = max(each for each in Known if self._lines[each])
        site, line = max(self._lines[last].items(), key=lambda item: len(item[1]))
        if last < known or (last == known and len(line) <= waiting + 1):
            return False
        waiter = line[-1]
        self._leave(self._lines[last], site, waiter)
        waiter.set_exception(_come_back())
        return True

    def _leave(self, lines: OrderedDict[str, deque[Waiter]], site: str, waiter: Waiter) -> None:
        line = lines.get(site)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        self._waiting -= 1
        if not line:
            del lines[site]

    def _let_next_in(self) -> None:
        """Give the turn to the next of the network whose turn it is, and put that network at the end."""
        lines = next((each for each in self._lines.values() if each), None)
        self._busy = lines is not None
        if lines is None:
            return
        site, line = lines.popitem(last=False)
        waiter = line.popleft()
        self._waiting -= 1
        if line:
            lines[site] = line
        if waiter.done():  # cancelled, and has not noticed yet
            self._let_next_in()
        else:
            waiter.set_result(None)


def _come_back() -> TooManyRequests:
    return TooManyRequests(1, "too many sign-ins at once; try again in a second")
