"""Steps of a run: parts that are done once, however often the run is taken up again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import job_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; times in microseconds since the epoch."""

    name: str
    started_at: int
    ended_at: int | None
    result: Any


_S = job_steps.c
_COLUMNS = (_S.name, _S.started_at, _S.ended_at, _S.result)
_OF_RUN = Query(select(*_COLUMNS).where(_S.run_id == bindparam("run")).order_by(_S.started_at), "job_steps.of_run")
_FIND = Query(select(*_COLUMNS).where(_S.run_id == bindparam("run"), _S.name == bindparam("step")), "job_steps.find")
_BEGIN = Query(
    lambda d: (
        d.insert(job_steps)
        .values(run_id=bindparam("run_id"), name=bindparam("name"), started_at=bindparam("started_at"))
        .on_conflict_do_nothing()
    ),
    "job_steps.begin",
)
_END = Query(
    update(job_steps)
    .where(_S.run_id == bindparam("run"), _S.name == bindparam("step"))
    .values(ended_at=bindparam("at"), result=bindparam("its_result")),
    "job_steps.end",
)
_FORGET = Query(delete(job_steps).where(_S.run_id == bindparam("run")), "job_steps.forget")


async def of_run(reader: Reader, run: int) -> list[Step]:
    """Return the steps of a run in the order they began."""
    return [_step(row) for row in await reader.all(_OF_RUN, run=run)]


async def find(reader: Reader, run: int, name: str) -> Step | None:
    """Return a step."""
    row = await reader.one(_FIND, run=run, step=name)
    return None if row is None else _step(row)


async def begin(tx: Transaction, run: int, name: str) -> None:
    """Note that a step begins, unless it has begun before."""
    await tx.execute(_BEGIN, run_id=run, name=name, started_at=clock.now())


async def end(tx: Transaction, run: int, name: str, result: Any) -> None:
    """Note that a step is done, and its result."""
    await tx.execute(_END, run=run, step=name, at=clock.now(), its_result=json.dumps(result, ensure_ascii=False))


async def forget(tx: Transaction, run: int) -> None:
    """Let all steps of a run be done anew."""
    await tx.execute(_FORGET, run=run)


def _step(row: Any) -> Step:
    return Step(name=row[0], started_at=row[1], ended_at=row[2], result=None if row[3] is None else json.loads(row[3]))
