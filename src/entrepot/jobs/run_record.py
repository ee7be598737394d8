"""Writes down what a worker knows of a run: its lease, how far it is, what it said, how it ended."""

from __future__ import annotations

import logging
import time
from typing import Any

from entrepot.jobs.run import JobRun
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.jobs import job_claims, job_lines, job_steps
from entrepot.metadata.jobs.job_claims import Claim
from entrepot.metadata.jobs.job_runs import State
from entrepot.system.jobs.traits import JobTraits

_log = logging.getLogger(__name__)


class ClaimLost(Exception):
    """Another worker has the run: this one was taken for dead."""


class Record:
    """The rows of one attempt. Each of its methods raises ClaimLost when the run is not ours any more."""

    def __init__(self, metadata: Database, claim: Claim, work: JobRun, lease: float) -> None:
        self._metadata = metadata
        self._claim = claim
        self._work = work
        self._lease = lease
        self._held_at = time.monotonic()
        self._progress: tuple[int, int | None] = (work.done, work.total)

    async def look(self) -> bool:
        """Write down what is new and hold the run; tells whether somebody asked it to end."""
        try:
            stop = await job_claims.is_to_stop(self._metadata, self._claim)
            if stop is None:
                raise ClaimLost
            if self._is_new() or time.monotonic() - self._held_at > self._lease / 3:
                await self._beat()
        except DatabaseError:
            # Others may take the run once the lease is over, whether we know of it or not.
            if time.monotonic() - self._held_at > self._lease:
                raise ClaimLost from None
            _log.warning("how far a job is could not be written down; tried again", extra={"run": self._claim.run})
            return False
        return stop

    async def renew(self, version: int) -> None:
        """Go on with a run that was asked for at another version of its kind: its steps are done anew."""

        async def work(tx: Transaction) -> None:
            _require(await job_claims.renew(tx, self._claim, version))
            await job_steps.forget(tx, self._claim.run)

        await self._metadata.write(work, name="renew a job")

    async def end(self, state: State, result: Any, error: str | None, traits: JobTraits) -> None:
        """Write down how the run ended, and forget old runs of its kind."""
        lines = self._work.take_lines()

        async def work(tx: Transaction) -> None:
            done, total = self._work.done, self._work.total
            ours = await job_claims.end(tx, self._claim, state, done=done, total=total, result=result, error=error)
            _require(ours)
            await job_lines.add(tx, self._claim.run, lines)
            await job_claims.forget(tx, traits.name, kept=traits.kept, before=clock.after(-traits.kept_for))

        await self._metadata.write(work, name="end a job")

    async def again(self, *, error: str | None, due_at: int, attempts: int) -> None:
        """Write down that the run is to be begun anew."""
        lines = self._work.take_lines()

        async def work(tx: Transaction) -> None:
            _require(await job_claims.again(tx, self._claim, error=error, due_at=due_at, attempts=attempts))
            await job_lines.add(tx, self._claim.run, lines)

        await self._metadata.write(work, name="put a job back")

    def _is_new(self) -> bool:
        return bool(self._work.lines) or self._progress != (self._work.done, self._work.total)

    async def _beat(self) -> None:
        lines, progress, now = self._work.take_lines(), (self._work.done, self._work.total), time.monotonic()

        async def work(tx: Transaction) -> None:
            done, total = progress
            _require(await job_claims.beat(tx, self._claim, done=done, total=total, seconds=self._lease))
            await job_lines.add(tx, self._claim.run, lines)

        try:
            await self._metadata.write(work, name="job progress")
        except DatabaseError:
            self._work.lines[:0] = lines
            raise
        self._held_at, self._progress = now, progress


def _require(ours: bool) -> None:  # noqa: FBT001 - the one thing it is about
    if not ours:
        raise ClaimLost
