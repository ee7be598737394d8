"""One attempt of a run, as the code sees it that does the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import job_steps
from entrepot.metadata.jobs.job_lines import KEPT, LONGEST
from entrepot.metadata.jobs.job_runs import Cause, Run
from entrepot.telemetry.progress import Stopped

#: Seconds that a piece of work may hold the event loop before others get their turn at its next step.
_TURN_SECONDS: Final = 0.02


class JobRun:
    """The run's parameters, and its `Progress`.

    `step` and `say` only note what they are told; whoever watches the run (`execution`) writes it down.
    """

    def __init__(self, run: Run, defaults: Mapping[str, Any], metadata: Database) -> None:
        self.id = run.id
        self.kind = run.kind
        self.subject = run.subject
        self.parameters: Mapping[str, Any] = {**defaults, **run.parameters}
        self.actor = run.actor
        self.is_scheduled = run.cause is Cause.SCHEDULE
        self.attempt = run.attempt
        self.done = run.done
        self.total = run.total
        self.lines: list[tuple[int, str]] = []
        #: When it last gave a sign of life (time.monotonic()).
        self.seen = time.monotonic()
        #: Set when it is to end at its next step.
        self.stopping = False
        self._metadata = metadata
        self._yielded = time.monotonic()

    async def step(self, done: int, total: int | None = None) -> None:
        """Say how far the work is; see `Progress.step`."""
        self.done, self.total, self.seen = done, total, time.monotonic()
        if self.seen - self._yielded > _TURN_SECONDS:
            await asyncio.sleep(0)
            self._yielded = time.monotonic()
        if self.stopping:
            raise Stopped

    async def say(self, message: str) -> None:
        """Add a line to the log of the run, for people; never a secret."""
        self.seen = time.monotonic()
        self.lines.append((clock.now(), message[:LONGEST]))
        if len(self.lines) > KEPT:
            del self.lines[0]

    async def once(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do a part of the work, unless an earlier attempt has; returns its result, which is kept as JSON.

        Raises:
            Stopped: Somebody asked the run to end.
        """
        await self.step(self.done, self.total)
        known = await job_steps.find(self._metadata, self.id, name)
        if known is not None and known.ended_at is not None:
            return known.result
        await self._metadata.write(lambda tx: job_steps.begin(tx, self.id, name), name="begin a step")
        result = await work()

        async def end(tx: Transaction) -> None:
            await job_steps.end(tx, self.id, name, result)

        await self._metadata.write(end, name="end a step")
        self.seen = time.monotonic()
        return result

    def take_lines(self) -> list[tuple[int, str]]:
        """Return the lines that are not written down yet, and forget them."""
        lines, self.lines = self.lines, []
        return lines
