"""What runs of retention policies did in each repository; the verdicts on each tag are in `retention_verdicts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.jobs.job_runs import State
from entrepot.metadata.query import Query
from entrepot.metadata.tables import retention_tasks


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What a run did in one repository; times in microseconds since the epoch."""

    id: int
    run_id: int
    repository_id: int
    repository: str
    state: State
    started_at: int
    evaluated_at: int | None
    ended_at: int | None
    total: int
    retained: int
    removed: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What all tasks of a run did together."""

    repositories: int
    total: int
    retained: int
    removed: int


_T = retention_tasks.c
_COLUMNS = (
    _T.id,
    _T.run_id,
    _T.repository_id,
    _T.repository,
    _T.state,
    _T.started_at,
    _T.evaluated_at,
    _T.ended_at,
    _T.total,
    _T.retained,
    _T.removed,
)
FIELDS: Final = {
    "id": Field(_T.id, Kind.NUMBER),
    "repository": Field(_T.repository),
    "status": Field(_T.state),
}
OF_RUN: Final = Listing(
    "retention_tasks.of_run",
    select(*_COLUMNS).where(_T.run_id == bindparam("run")),
    FIELDS,
    order=(Order("id"),),
    key=_T.id,
)
_FIND: Final = Query(
    select(*_COLUMNS).where(_T.id == bindparam("id"), _T.run_id == bindparam("run")), "retention_tasks.find"
)
_IN: Final = Query(
    select(*_COLUMNS).where(_T.run_id == bindparam("run"), _T.repository_id == bindparam("repository")),
    "retention_tasks.in_repository",
)
_ADD: Final = Query(
    lambda d: (
        d.insert(retention_tasks)
        .values(
            run_id=bindparam("run"),
            repository_id=bindparam("repository_id"),
            repository=bindparam("repository"),
            state=State.RUNNING.value,
            started_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
    ),
    "retention_tasks.add",
)
_EVALUATED: Final = Query(
    update(retention_tasks)
    .where(_T.id == bindparam("task"))
    .values(evaluated_at=bindparam("now"), total=bindparam("all"), retained=bindparam("kept")),
    "retention_tasks.evaluated",
)
_COUNT: Final = Query(
    update(retention_tasks).where(_T.id == bindparam("task")).values(removed=_T.removed + bindparam("more")),
    "retention_tasks.count",
)
_END: Final = Query(
    update(retention_tasks)
    .where(_T.id == bindparam("task"))
    .values(state=bindparam("new_state"), ended_at=bindparam("now")),
    "retention_tasks.end",
)
_TOTALS: Final = Query(
    select(func.count(), func.sum(_T.total), func.sum(_T.retained), func.sum(_T.removed)).where(
        _T.run_id == bindparam("run")
    ),
    "retention_tasks.totals",
)


def _record(row: Row) -> TaskRecord:
    return TaskRecord(*(*row[:4], State(row[4]), *row[5:]))


async def page(reader: Reader, run: int, selection: Selection) -> Listed[TaskRecord]:
    """Return a page of the tasks of a run, in their order."""
    return (await OF_RUN.read(reader, selection, run=run)).map(_record)


async def find(reader: Reader, run: int, task: int) -> TaskRecord | None:
    """Return a task of a run."""
    row = await reader.one(_FIND, id=task, run=run)
    return None if row is None else _record(row)


async def begin(tx: Transaction, run: int, repository_id: int, repository: str) -> TaskRecord:
    """Return the task of a run in a repository, made where an earlier attempt did not."""
    await tx.execute(_ADD, run=run, repository_id=repository_id, repository=repository, now=clock.now())
    row = await tx.one(_IN, run=run, repository=repository_id)
    assert row is not None
    return _record(row)


async def evaluated(tx: Transaction, task: int, *, total: int, retained: int) -> None:
    """Write down that all verdicts of a task are written."""
    await tx.execute(_EVALUATED, task=task, now=clock.now(), all=total, kept=retained)


async def count(tx: Transaction, task: int, removed: int) -> None:
    """Add to what a task removed."""
    await tx.execute(_COUNT, task=task, more=removed)


async def end(tx: Transaction, task: int, state: State) -> None:
    """Write down that a task has ended."""
    await tx.execute(_END, task=task, new_state=state.value, now=clock.now())


async def totals(reader: Reader, run: int) -> Totals:
    """Add up what the tasks of a run did."""
    row = await reader.one(_TOTALS, run=run)
    assert row is not None
    return Totals(*(int(value or 0) for value in row))
