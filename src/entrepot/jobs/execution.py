"""Does one attempt of a run: watches it, writes down how far it is, and what became of it.

While the work goes on, its keeper holds the run's lease, writes progress and log lines, looks whether somebody wants
the run to end, and ends it itself when it gives no sign of life. Whatever happens, the row says at the end what is
next: it ended, or it waits to be begun anew. A worker that dies writes nothing; then the lease runs out and another
begins the next attempt (`dispatcher`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Final

from entrepot.jobs.model import JobKind
from entrepot.jobs.run import JobRun
from entrepot.jobs.run_record import ClaimLost, Record
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.engine.ballast import with_reserve
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.jobs.job_claims import Claim
from entrepot.metadata.jobs.job_runs import Run, State
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.progress import Stopped

_log = logging.getLogger(__name__)

_LONGEST_ERROR: Final = 500
_LARGEST_RESULT: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """How often a worker looks after its runs, in seconds."""

    #: A run whose worker is gone is taken up after this at the latest, and one poll.
    lease: float = 15.0
    #: Between two looks for runs that are due.
    poll: float = 1.0
    #: Between two looks at a running one: whether it is to stop, how far it is.
    beat: float = 0.5
    #: How long a run that somebody asked to end may go on to its next step before it is cancelled.
    ending: float = 10.0
    #: The same when its worker ends, which a container runtime may kill ten seconds after it was asked to.
    leaving: float = 3.0


class NoSignOfLife(Exception):
    """The run gave no sign of life for as long as its kind allows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt."""

    state: State
    result: Any = None
    error: str | None = None
    #: The worker ends, and the next begins the run anew.
    interrupted: bool = False


class Execution:
    """One attempt of a run."""

    def __init__(self, metadata: Database, kind: JobKind, run: Run, times: RunTimes) -> None:
        self.kind = kind
        self.run = run
        self._metadata = metadata
        self._times = times
        self._claim = Claim(run=run.id, holder=run.holder or "", attempt=run.attempt)
        self._work = JobRun(run, kind.traits.parameters, metadata)
        self._interrupted = False
        self._end_by: float | None = None
        self._record = Record(metadata, self._claim, self._work, times.lease)

    def interrupt(self) -> None:
        """Let the run end at its next step, to be begun anew by the next worker."""
        self._interrupted = True
        self._end_soon(self._times.leaving)

    async def perform(self) -> str:
        """Do the work and write down what became of it; returns that in a word, for the metrics."""
        try:
            return await self._conclude(await self._attempt())
        except ClaimLost:
            _log.warning("another worker took over a job", extra=self._extra())
        except DatabaseError:
            _log.exception("the end of a job could not be written down; it is taken up again", extra=self._extra())
        return "lost"

    async def _attempt(self) -> Outcome:
        traits = self.kind.traits
        if self.run.stop_at is not None:
            return Outcome(State.STOPPED)
        if self.run.attempt > traits.attempts:
            return Outcome(State.FAILED, error=self.run.error or f"its worker died {traits.attempts} times")
        try:
            if self.run.version != traits.version:
                await self._record.renew(traits.version)
            return Outcome(State.SUCCEEDED, result=checked(await self._watched()))
        except Stopped:
            return Outcome(State.STOPPED, interrupted=self._interrupted)
        except ClaimLost:
            raise
        except Exception as error:  # noqa: BLE001 - a job may fail in any way; it is written down
            _log.warning("a job failed", exc_info=error, extra=self._extra())
            return Outcome(State.FAILED, error=described(error))

    async def _watched(self) -> Any:
        """Do the work while its keeper looks after it."""
        over = asyncio.Event()
        with with_reserve(self.kind.reserve):
            work = asyncio.ensure_future(self.kind.run(self._work))
        work.add_done_callback(lambda _: over.set())
        keeper = asyncio.create_task(self._keep(over))
        try:
            await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                keeper.result()
            # Not cancelled: what it is writing down now would be lost, or written twice.
            await asyncio.wait({keeper})
            if work.cancelled():
                raise RuntimeError("it was cancelled from within")
            return work.result()
        finally:
            for task in (work, keeper):
                task.cancel()
            await asyncio.gather(work, keeper, return_exceptions=True)

    async def _keep(self, over: asyncio.Event) -> None:
        """Hold the run and write down how far it is until it is over; raises when it must end."""
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.beat):
                    await over.wait()
                    return
            if await self._record.look():
                self._end_soon(self._times.ending)
            if self._end_by is not None and time.monotonic() > self._end_by:
                raise Stopped
            if time.monotonic() - self._work.seen > self.kind.traits.patience:
                raise NoSignOfLife(f"it gave no sign of life for {self.kind.traits.patience:g} s")

    def _end_soon(self, within: float) -> None:
        self._work.stopping = True
        end_by = time.monotonic() + within
        self._end_by = end_by if self._end_by is None else min(self._end_by, end_by)

    async def _conclude(self, outcome: Outcome) -> str:
        traits = self.kind.traits
        if outcome.interrupted:
            await self._record.again(error=None, due_at=clock.now(), attempts=self.run.attempt - 1)
            return "interrupted"
        if outcome.state is State.FAILED and self.run.attempt < traits.attempts:
            pause = pause_before(self.run.attempt + 1, traits)
            await self._work.say(f"attempt {self.run.attempt} failed: {outcome.error}; the next in {pause:.0f} s")
            await self._record.again(error=outcome.error, due_at=clock.after(pause), attempts=self.run.attempt)
            return "retried"
        await self._record.end(outcome.state, outcome.result, outcome.error, traits)
        return outcome.state.name.lower()

    def _extra(self) -> dict[str, object]:
        return {"job": self.kind.name, "run": self.run.id, "subject": self.run.subject, "attempt": self.run.attempt}


def pause_before(attempt: int, traits: JobTraits) -> float:
    """Return the seconds before an attempt: doubled each time, bounded, and anything between half of that and all."""
    longest = min(traits.longest_pause, traits.pause * 2.0 ** min(attempt - 2, 30))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret


def checked(result: Any) -> Any:
    """Return a result that can be kept.

    Raises:
        TypeError: It is no JSON.
        ValueError: It is too large.
    """
    size = len(json.dumps(result))
    if size > _LARGEST_RESULT:
        raise ValueError(f"the result has {size} bytes, and {_LARGEST_RESULT} can be kept")
    return result


def described(error: Exception) -> str:
    """Return what went wrong in a sentence."""
    return (str(error) or type(error).__name__)[:_LONGEST_ERROR]
