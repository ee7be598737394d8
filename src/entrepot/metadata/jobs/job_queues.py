"""Queues of runs, one for each kind of job: how long they are, and which are held back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.jobs.job_runs import State
from entrepot.metadata.query import Query
from entrepot.metadata.tables import job_pauses, job_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What is to be done of a kind; `oldest` is when the oldest waiting run was asked for, in microseconds."""

    kind: str
    waiting: int = 0
    running: int = 0
    oldest: int | None = None


_R = job_runs.c
_LENGTHS = Query(
    select(_R.kind, _R.state, func.count(), func.min(_R.created_at))
    .where(_R.ended_at.is_(None))
    .group_by(_R.kind, _R.state),
    "job_queues.lengths",
)
_PAUSED = Query(select(job_pauses.c.kind), "job_queues.paused")
_PAUSE = Query(
    lambda d: (
        d.insert(job_pauses)
        .values(kind=bindparam("kind"), actor=bindparam("actor"), at=bindparam("at"))
        .on_conflict_do_nothing()
    ),
    "job_queues.pause",
)
_RESUME = Query(delete(job_pauses).where(job_pauses.c.kind == bindparam("its_kind")), "job_queues.resume")
_SOME_WAITING = (
    select(_R.id)
    .where(_R.kind == bindparam("its_kind"), _R.ended_at.is_(None), _R.state == State.PENDING.value)
    .limit(bindparam("most"))
)
_CLEAR = Query(
    update(job_runs)
    .where(_R.id.in_(_SOME_WAITING))
    .values(
        state=State.STOPPED.value, stop_at=bindparam("now"), updated_at=bindparam("now"), ended_at=bindparam("now")
    ),
    "job_queues.clear",
)


async def lengths(reader: Reader) -> dict[str, Queue]:
    """Return the queues that are not empty, by kind."""
    found: dict[str, Queue] = {}
    for kind, state, count, oldest in await reader.all(_LENGTHS):
        before = found.get(kind, Queue(kind=kind))
        if state == State.RUNNING.value:
            found[kind] = Queue(kind=kind, waiting=before.waiting, running=count, oldest=before.oldest)
        else:
            found[kind] = Queue(kind=kind, waiting=count, running=before.running, oldest=oldest)
    return found


async def paused(reader: Reader) -> set[str]:
    """Return the kinds that are held back."""
    return {str(row[0]) for row in await reader.all(_PAUSED)}


async def pause(tx: Transaction, kind: str, actor: str) -> bool:
    """Hold a kind back; False when it is already."""
    return await tx.execute(_PAUSE, kind=kind, actor=actor, at=clock.now()) == 1


async def resume(tx: Transaction, kind: str) -> bool:
    """Let a kind go on; False when it was not held back."""
    return await tx.execute(_RESUME, its_kind=kind) == 1


async def clear(tx: Transaction, kind: str, *, limit: int) -> int:
    """Stop up to so many waiting runs of a kind; returns how many."""
    return await tx.execute(_CLEAR, its_kind=kind, most=limit, now=clock.now())
