"""The queues of runs, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.jobs import job_queues, job_runs, job_workers
from entrepot.metadata.jobs.job_queues import Queue
from entrepot.metadata.jobs.job_runs import Run, State
from entrepot.metadata.jobs.job_workers import Worker
from entrepot.system.jobs.kinds import Kinds

#: Holding this back holds back all schedules; it has no runs.
SCHEDULER: Final = "scheduler"
_AT_ONCE: Final = 500
_MOST_RUNNING: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One queue, and whether it is held back."""

    queue: Queue
    paused: bool


class Queues:
    """The use cases about queues; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, work: Database, kinds: Kinds) -> None:
        self._metadata = metadata
        self._work = work
        self._kinds = kinds

    async def list(self) -> Sequence[QueueState]:
        """Return the queue of each kind, empty ones as well, and that of the schedules."""
        lengths, paused = await job_queues.lengths(self._metadata), await job_queues.paused(self._metadata)
        names = sorted({*self._names(), *lengths})
        return [QueueState(queue=lengths.get(name, Queue(kind=name)), paused=name in paused) for name in names]

    async def is_scheduler_paused(self) -> bool:
        """Tell whether all schedules are held back."""
        return SCHEDULER in await job_queues.paused(self._metadata)

    async def pause(self, kind: str | None, by: Source) -> None:
        """Let the runs of a kind, or of all kinds, wait; those that run go on.

        Raises:
            NotFound: There is no such kind.
        """
        for name in self._named(kind):

            async def work(tx: Transaction, name: str = name) -> None:
                if await job_queues.pause(tx, name, by.name):
                    await _note(tx, name, "pause", by)

            await self._metadata.write(work, name="pause a queue")

    async def resume(self, kind: str | None, by: Source) -> None:
        """Let the runs of a kind, or of all kinds, go on.

        Raises:
            NotFound: There is no such kind.
        """
        for name in self._named(kind):

            async def work(tx: Transaction, name: str = name) -> None:
                if await job_queues.resume(tx, name):
                    await _note(tx, name, "resume", by)

            await self._metadata.write(work, name="resume a queue")

    async def clear(self, kind: str | None, by: Source) -> int:
        """Stop the runs of a kind, or of all kinds, that wait; returns how many.

        Raises:
            NotFound: There is no such kind.
        """
        total = 0
        for name in self._named(kind):

            async def work(tx: Transaction, name: str = name) -> int:
                count = await job_queues.clear(tx, name, limit=_AT_ONCE)
                if count:
                    await events.add(tx, events.STOP, by=by, subject=f"job:{name}", detail={"waiting": count})
                return count

            while count := await self._metadata.write(work, name="clear a queue"):
                total += count
        return total

    async def workers(self) -> Sequence[Worker]:
        """Return the workers that are alive."""
        return await job_workers.alive(self._work)

    async def running(self) -> Sequence[Run]:
        """Return the runs that workers do now, up to a bound."""
        condition = Condition(field="status", match=Match.EQUAL, values=(State.RUNNING.value,))
        return (await job_runs.page(self._metadata, Selection(conditions=(condition,), limit=_MOST_RUNNING))).items

    def _names(self) -> Sequence[str]:
        return [SCHEDULER, *(traits.name for traits in self._kinds.list())]

    def _named(self, kind: str | None) -> Sequence[str]:
        if kind is None:
            return self._names()
        return [kind if kind == SCHEDULER else self._kinds.get(kind).name]


async def _note(tx: Transaction, kind: str, what: str, by: Source) -> None:
    await events.add(tx, events.UPDATE, by=by, subject=f"queue:{kind}", detail={"action": what})
