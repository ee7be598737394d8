"""Asks for runs when schedules say so, once however many workers look."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from entrepot.jobs.model import JobKind
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import job_claims, job_queues, job_runs, schedules
from entrepot.metadata.jobs.job_runs import Cause, Wanted
from entrepot.metadata.jobs.schedules import Origin, Schedule
from entrepot.system.jobs.queues import SCHEDULER
from entrepot.system.jobs.timetable import TimetableInvalid, first_time, next_time

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 50
_DAY: Final = 24 * 3600.0
#: Seconds between two looks whether kinds have something to do that may have nothing.
_LOOK: Final = 60.0


class Timekeeper:
    """Looks after the schedules of the kinds that this worker runs, unless somebody holds all schedules back."""

    def __init__(self, metadata: Database, kinds: Sequence[JobKind], *, look: float = _LOOK) -> None:
        self._metadata = metadata
        self._kinds = {kind.name: kind for kind in kinds}
        self._look = look
        self._looked: float | None = None

    async def fire(self) -> None:
        """Ask for the runs whose time has come. A time that passed while no worker looked counts once."""
        await self._settle()
        if SCHEDULER in await job_queues.paused(self._metadata):
            return
        for schedule in await schedules.due(self._metadata, sorted(self._kinds), _AT_ONCE):
            await self._fire(schedule)

    async def pull_back(self) -> None:
        """Let no schedule, and no run, wait for a time that a wrong clock told."""
        await self._metadata.write(job_claims.pull_back, name="pull runs back")
        after = 0
        while found := await schedules.waiting(self._metadata, after=after, limit=_AT_ONCE):
            after = found[-1].id
            for schedule in found:
                await self._pull_back(schedule)

    async def _pull_back(self, schedule: Schedule) -> None:
        with contextlib.suppress(TimetableInvalid):
            then = next_time(schedule.cron, schedule.time_zone, clock.now())
            if schedule.next_at is not None and then < schedule.next_at:
                work = partial(schedules.advance, schedule=schedule, next_at=then)
                await self._metadata.write(work, name="pull a schedule back")

    async def _fire(self, schedule: Schedule) -> None:
        try:
            then = next_time(schedule.cron, schedule.time_zone, clock.now())
        except TimetableInvalid:
            # It was right when it was set: a time zone that this machine does not know.
            _log.exception("a schedule cannot be followed", extra={"job": schedule.kind, "subject": schedule.subject})
            then = clock.after(_DAY)
        kind = self._kinds[schedule.kind]
        applies = await _applies(kind)
        wanted = Wanted(
            kind=schedule.kind,
            subject=schedule.subject,
            parameters=schedule.parameters,
            version=kind.traits.version,
            cause=Cause.SCHEDULE,
        )

        async def work(tx: Transaction) -> bool:
            if not await schedules.advance(tx, schedule, then) or not applies:
                return True
            if await job_runs.find_active(tx, wanted.kind, wanted.subject) is not None:
                return False
            await job_runs.ask(tx, wanted)
            return True

        if not await self._metadata.write(work, name="follow a schedule"):
            _log.warning("a job was not begun on time: its last run goes on", extra={"job": schedule.kind})

    async def _settle(self) -> None:
        """Put the schedules of the configuration in force, but for those that a person changed.

        Once at the start; those of kinds that may have nothing to do again and again, as that changes.
        """
        now = time.monotonic()
        if self._looked is not None and now - self._looked < self._look:
            return
        for kind in self._kinds.values():
            if self._looked is None or kind.applies is not None:
                await self._settle_one(kind)
        self._looked = now

    async def _settle_one(self, kind: JobKind) -> None:
        line = kind.traits.schedule if await _applies(kind) else ""
        known = await schedules.find(self._metadata, kind.name)
        is_ours = known is None or known.origin is Origin.CONFIGURATION
        if is_ours and line != (known.cron if known else ""):
            await self._set(kind, line)

    async def _set(self, kind: JobKind, line: str) -> None:
        async def work(tx: Transaction) -> None:
            if not line:
                await schedules.remove(tx, kind.name)
                return
            await schedules.put(
                tx,
                kind=kind.name,
                cron=line,
                parameters=kind.traits.parameters,
                origin=Origin.CONFIGURATION,
                next_at=first_time(line, "UTC", clock.now()),
            )

        await self._metadata.write(work, name="set a schedule")


async def _applies(kind: JobKind) -> bool:
    return kind.applies is None or await kind.applies()
