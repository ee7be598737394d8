"""Which workers are alive: each holds a lease in its own name, moved forward while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.jobs import leases
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import leases as table

#: Before the names of these leases; what follows says which worker it is.
_PREFIX: Final = "worker "
_AFTER_PREFIX: Final = "worker!"  # the character that follows a blank
#: Seconds that a worker counts as alive after it was last seen.
LEASE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that runs jobs; times in microseconds since the epoch."""

    id: str
    host: str
    pid: int
    started_at: int
    concurrency: int  #: runs that it does at the same time, of all kinds together
    seen_at: int = 0


_ALIVE = Query(
    select(table.c.name, table.c.expires_at)
    .where(table.c.name >= _PREFIX, table.c.name < _AFTER_PREFIX, table.c.expires_at > bindparam("now"))
    .order_by(table.c.name),
    "job_workers.alive",
)
_FORGET = Query(
    delete(table).where(table.c.name >= _PREFIX, table.c.name < _AFTER_PREFIX, table.c.expires_at <= bindparam("now")),
    "job_workers.forget",
)


async def beat(tx: Transaction, worker: Worker) -> None:
    """Say that a worker is alive, and forget those that are not."""
    await tx.execute(_FORGET, now=await tx.now())
    await leases.take(tx, _name(worker), worker.id, seconds=LEASE_SECONDS)


async def leave(tx: Transaction, worker: Worker) -> None:
    """Say that a worker is gone."""
    await leases.release(tx, _name(worker), worker.id, again_in=0)


async def alive(reader: Reader) -> list[Worker]:
    """Return the workers that are alive."""
    return [_worker(*row) for row in await reader.all(_ALIVE, now=await reader.now())]


def _name(worker: Worker) -> str:
    return f"{_PREFIX}{worker.host} {worker.pid} {worker.started_at} {worker.concurrency} {worker.id}"


def _worker(name: str, expires_at: int) -> Worker:
    host, pid, started_at, concurrency, worker_id = name.removeprefix(_PREFIX).rsplit(" ", 4)
    return Worker(
        id=worker_id,
        host=host,
        pid=int(pid),
        started_at=int(started_at),
        concurrency=int(concurrency),
        seen_at=expires_at - int(LEASE_SECONDS * clock.MICROSECONDS),
    )
