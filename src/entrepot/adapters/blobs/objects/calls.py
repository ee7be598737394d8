"""Calls of a cloud, repeated until they succeed or there is no use in it.

A call that may succeed later is tried four times, with pauses that are chosen by chance so that those who failed
together do not come again together. When nothing succeeds any more, calls fail at once for some seconds: whoever waits
is told to come again, and the store is left in peace. One that does not answer at all is found out sooner (`pulse`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeVar

from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudError, CloudRefused
from entrepot.adapters.blobs.objects.pulse import Pulse
from entrepot.oci.errors import Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)

MOST_TRIES: Final = 4
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 10.0
#: So many failures in so many seconds, without a success between, and nothing is asked for some seconds more.
_FAILURES: Final = 20
_WINDOW: Final = 10.0
_REST: Final = 3.0
#: For so many seconds after a failure that no success followed, the store counts as away.
_DEGRADED: Final = 60.0
#: Seconds for a call without many bytes, all its tries together; and bytes a second that others reach at least.
_PATIENCE: Final = 25.0
_SLOWEST: Final = 1 << 19

#: Told of each try: what was asked, how it ended, and how many seconds that took.
Watch = Callable[[str, str, float], None]


def nobody(_operation: str, _outcome: str, _seconds: float) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Calls:
    """The calls of one cloud by one process."""

    watch: Watch = nobody
    tries: int = MOST_TRIES
    patience: float = _PATIENCE
    pause: float = _PAUSE
    pulse: Pulse = field(default_factory=Pulse)
    _failures: list[float] = field(default_factory=list)
    _rests_until: float = 0.0

    async def make(self, operation: str, call: Callable[[], Awaitable[T]], *, size: int = 0, tries: int = 0) -> T:
        """Make a call.

        Args:
            operation: What it is, for the log and the metrics.
            call: Makes one try.
            size: Bytes that go with it.
            tries: At most so many, where other than usual.

        Raises:
            Unavailable: It did not succeed, or nothing does at the moment.
            NoObject: As the call says.
            NoMultipart: As the call says.
        """
        tries = tries or self.tries
        end = time.monotonic() + self.patience + size / _SLOWEST
        for number in range(1, tries + 1):
            self.require_open()
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0.1)) as limit:
                    with self.pulse.waited_for(limit):
                        return await self._try(operation, call)
            except TimeoutError:
                self.require_open()  # a silent store was spoken of already
                self._failed()
                _log.error("the object store did not answer in time", extra={"operation": operation})
                raise Unavailable(5, "The blob storage does not answer; try again.") from None
            except CloudRefused as error:
                _log.error("the object store refuses: %s", error, extra={"operation": operation})
                raise Unavailable(30, "The blob storage refused; the operator should look at the log.") from error
            except CloudBusy as error:
                self._failed()
                pause = self._pause(number, slow=error.slow_down)
                if number == tries or time.monotonic() + pause >= end or self._rests_until > time.monotonic():
                    _log.error("the object store failed: %s", error, extra={"operation": operation})
                    raise Unavailable(5, "The blob storage is busy or away; try again.") from error
                await asyncio.sleep(pause)
        raise AssertionError  # the last try raises

    async def watched(self, operation: str, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """Pass on what is read, and note how that ended."""
        self.require_open()
        begun, outcome = time.perf_counter(), "failed"
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    self._succeeded()
                    yield piece
            outcome = "ok"
        except CloudBusy:
            outcome = "busy"
            self._failed()
            raise
        finally:
            self.watch(operation, outcome, time.perf_counter() - begun)

    async def _try(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        begun, outcome = time.perf_counter(), "failed"
        try:
            made = await call()
            outcome = "ok"
        except CloudBusy as error:
            outcome = "slow_down" if error.slow_down else "busy"
            raise
        except CloudRefused:
            outcome = "refused"
            self.pulse.heard()
            raise
        except CloudError:
            self.pulse.heard()
            raise
        finally:
            self.watch(operation, outcome, time.perf_counter() - begun)
        self._succeeded()
        return made

    def is_failing(self) -> bool:
        """Tell whether the last call failed, and not long ago."""
        return self.pulse.is_silent or (bool(self._failures) and self._failures[-1] > time.monotonic() - _DEGRADED)

    def _succeeded(self) -> None:
        self._failures.clear()
        self._rests_until = 0.0
        self.pulse.heard()

    def require_open(self) -> None:
        """Make sure that there is use in asking.

        Raises:
            Unavailable: There is not: nothing succeeds, or the store does not answer.
        """
        if self.pulse.is_silent:
            raise Unavailable(5, "The blob storage does not answer; try again in some seconds.")
        left = self._rests_until - time.monotonic()
        if left > 0:
            raise Unavailable(int(left) + 1, "The blob storage does not answer; try again in some seconds.")

    def _failed(self) -> None:
        now = time.monotonic()
        self._failures = [*(at for at in self._failures if at > now - _WINDOW), now]
        if len(self._failures) >= _FAILURES and self._rests_until <= now:
            _log.error("nothing succeeds at the object store: it is not asked for %d seconds", _REST)
            self._rests_until = now + _REST
            # One more failure after that is enough for another rest.
            del self._failures[: len(self._failures) - _FAILURES + 1]

    def _pause(self, number: int, *, slow: bool) -> float:
        longest = min(self.pause * (8 if slow else 4) ** number, _LONGEST_PAUSE)
        return random.uniform(longest / 4, longest)  # noqa: S311 - no secret
