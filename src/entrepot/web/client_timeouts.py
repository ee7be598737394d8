"""Waiting for a client, again and again, each time only so long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class Patience:
    """Ends a wait that takes too long. One timer serves all waits: to set one for each takes longer than most waits."""

    __slots__ = ("_seconds", "_task", "_timer", "_tired", "_until")

    def __init__(self, seconds: float) -> None:
        """Wait at most so many seconds each time."""
        self._seconds = seconds
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._tired = False

    async def wait(self, something: Awaitable[T]) -> T:
        """Wait for something; raises TimeoutError when it takes too long."""
        loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task()
        self._until = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._look)
        try:
            return await something
        except asyncio.CancelledError:
            # The cancellation is ours to undo, unless somebody else wants the task to end too.
            if self._tired and task is not None and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            self._until = math.inf

    def stop(self) -> None:
        """Wait no more; without it, the timer is gone after one more time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._until == math.inf or self._task is None:
            return
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._look)
        else:
            self._tired = True
            self._task.cancel()
