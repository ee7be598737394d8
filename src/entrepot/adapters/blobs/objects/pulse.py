"""Whether a store answers at all: who waits for one that does not is told soon, who waits for a slow one waits on.

While calls wait and nothing was heard for some seconds, a small question is asked beside them. A slow store answers it.
Where no answer comes either, all who wait are sent away, and so is whoever comes, until such a question is answered::

    heard ──3 s──► asked ──5 s──► silent: nobody waits ──(asked once a second)──► heard
                     └─ answered: all go on waiting
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudError

_log = logging.getLogger(__name__)

#: Seconds without a word after which the store is asked, in which it then answers, and between further questions.
_SILENCE: Final = 3.0
_ANSWER: Final = 5.0
_AGAIN: Final = 1.0
#: After a moment in which this process itself stood still, it takes in for so long what came meanwhile.
_GRACE: Final = 0.5


class _Word(enum.Enum):
    """What came of a question."""

    ANSWER = enum.auto()
    FAILURE = enum.auto()  #: the connection was refused, or broke: whoever waits for that is told without us
    SILENCE = enum.auto()


class Pulse:
    """The signs of life of one store, as one process sees them."""

    def __init__(self, *, silence: float = _SILENCE, answer: float = _ANSWER, again: float = _AGAIN) -> None:
        """Believe that it lives.

        Args:
            silence: Seconds without a word after which it is asked.
            answer: Seconds in which it then answers.
            again: Seconds between further questions.
        """
        self.is_silent = False
        #: Asks the store something small, over a connection that no upload can keep busy; nothing is asked without it.
        self.ask: Callable[[], Awaitable[object]] | None = None
        self._silence, self._answer, self._again = silence, answer, again
        self._heard_at = 0.0
        self._waiting: dict[asyncio.Timeout, float] = {}
        self._watch: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """Note that the store said something."""
        self._heard_at = time.monotonic()

    @contextmanager
    def waited_for(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Let a time limit end at once when the store is found to be silent."""
        self._waiting[limit] = time.monotonic()
        if self._watch is None and self.ask is not None:
            self._watch = asyncio.ensure_future(self._watched(self.ask))
        try:
            yield
        finally:
            del self._waiting[limit]

    async def close(self) -> None:
        """Ask no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _watched(self, ask: Callable[[], Awaitable[object]]) -> None:
        try:
            while self._waiting:
                since = max(min(self._waiting.values()), self._heard_at)
                left = since + self._silence - time.monotonic()
                if left > 0:
                    await asyncio.sleep(left)
                elif (word := await self._asked(ask)) is _Word.SILENCE and self._heard_at <= since:
                    await self._be_silent(ask)
                elif word is not _Word.ANSWER:
                    await asyncio.sleep(self._again)
        finally:
            self._watch = None

    async def _be_silent(self, ask: Callable[[], Awaitable[object]]) -> None:
        _log.error("the object store does not answer: whoever needs it is told to come again, until it does")
        self.is_silent = True
        try:
            for limit in self._waiting:
                if not limit.expired():
                    limit.reschedule(0.0)
            word = _Word.SILENCE
            while word is not _Word.ANSWER:
                await asyncio.sleep(self._again)
                word = await self._asked(ask)
        finally:
            self.is_silent = False
        _log.warning("the object store answers again")

    async def _asked(self, ask: Callable[[], Awaitable[object]]) -> _Word:
        question = asyncio.ensure_future(ask())
        try:
            await asyncio.wait({question}, timeout=self._answer)
            await asyncio.wait({question}, timeout=_GRACE)
        finally:
            question.cancel()
            await asyncio.gather(question, return_exceptions=True)
        if question.cancelled():
            return _Word.SILENCE
        error = question.exception()
        if isinstance(error, CloudBusy) or (error is not None and not isinstance(error, CloudError)):
            return _Word.FAILURE
        self.heard()
        return _Word.ANSWER
