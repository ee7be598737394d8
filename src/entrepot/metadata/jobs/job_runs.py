"""Runs of jobs as those see them who ask for one: asking, looking, stopping.

A row is the request, the state and the record of a run. It is written in the transaction that wants the run, so both
are committed together or not at all, and a worker begins it once, however many look (`job_claims`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, bindparam, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import job_runs


class State(StrEnum):
    """What becomes of a run, in order and in Harbor's words; the last three are ends."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Success"
    FAILED = "Error"
    STOPPED = "Stopped"


class Cause(StrEnum):
    """Why a run was asked for, in Harbor's words."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that somebody wants; `subject` is what it is about where there is one: `project:7`, `tag-rule:3`."""

    kind: str
    subject: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)  #: kept as JSON; never a secret
    version: int = 1  #: of the kind (`JobTraits.version`)
    cause: Cause = Cause.EVENT
    actor: str = ""  #: name of the principal, for people
    due_at: int | None = None  #: the earliest time to begin, microseconds since the epoch; None for at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run; times in microseconds since the epoch."""

    id: int
    kind: str
    subject: str
    version: int
    parameters: Mapping[str, Any]
    cause: Cause
    actor: str
    state: State
    attempt: int  #: how often a worker began it
    due_at: int
    holder: str | None
    stop_at: int | None
    done: int
    total: int | None
    result: Any
    error: str | None
    created_at: int
    started_at: int | None
    updated_at: int
    ended_at: int | None


_R = job_runs.c
_COLUMNS = (
    _R.id,
    _R.kind,
    _R.subject,
    _R.version,
    _R.parameters,
    _R.cause,
    _R.actor,
    _R.state,
    _R.attempt,
    _R.due_at,
    _R.holder,
    _R.stop_at,
    _R.done,
    _R.total,
    _R.result,
    _R.error,
    _R.created_at,
    _R.started_at,
    _R.updated_at,
    _R.ended_at,
)
FIELDS: Mapping[str, Field] = {
    "id": Field(column=_R.id, kind=Kind.NUMBER),
    "kind": Field(column=_R.kind),
    "subject": Field(column=_R.subject),
    "status": Field(column=_R.state),
    "trigger": Field(column=_R.cause),
    "actor": Field(column=_R.actor),
    "creation_time": Field(column=_R.created_at, kind=Kind.TIME),
}
LISTING = Listing("job_runs", select(*_COLUMNS), FIELDS, order=(Order("id", descending=True),), key=_R.id)

_ADD = Query(
    lambda d: (
        d.insert(job_runs)
        .values(
            kind=bindparam("kind"),
            subject=bindparam("subject"),
            version=bindparam("version"),
            parameters=bindparam("parameters"),
            cause=bindparam("cause"),
            actor=bindparam("actor"),
            state=State.PENDING.value,
            due_at=bindparam("due_at"),
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
        .returning(_R.id)
    ),
    "job_runs.add",
)
_FIND = Query(select(*_COLUMNS).where(_R.id == bindparam("run")), "job_runs.find")
_ACTIVE = Query(
    select(*_COLUMNS)
    .where(_R.kind == bindparam("kind"), _R.subject == bindparam("subject"), _R.ended_at.is_(None))
    .order_by(_R.id)
    .limit(1),
    "job_runs.active",
)
_STOP_WAITING = Query(
    update(job_runs)
    .where(_R.id == bindparam("run"), _R.state == State.PENDING.value)
    .values(state=State.STOPPED.value, stop_at=bindparam("at"), updated_at=bindparam("at"), ended_at=bindparam("at")),
    "job_runs.stop_waiting",
)
_ASK_TO_STOP = Query(
    update(job_runs)
    .where(and_(_R.id == bindparam("run"), _R.state == State.RUNNING.value))
    .values(stop_at=func.coalesce(_R.stop_at, bindparam("at"))),
    "job_runs.ask_to_stop",
)


async def ask(tx: Transaction, wanted: Wanted) -> int:
    """Ask for a run, in the transaction that wants it; returns its number."""
    now = await tx.now()
    row = await tx.one(
        _ADD,
        kind=wanted.kind,
        subject=wanted.subject,
        version=wanted.version,
        parameters=json.dumps(wanted.parameters, ensure_ascii=False),
        cause=wanted.cause.value,
        actor=wanted.actor,
        due_at=now if wanted.due_at is None else wanted.due_at,
        now=now,
    )
    assert row is not None
    return int(row[0])


async def find(reader: Reader, run: int) -> Run | None:
    """Return a run."""
    row = await reader.one(_FIND, run=run)
    return None if row is None else from_row(row)


async def find_active(reader: Reader, kind: str, subject: str = "") -> Run | None:
    """Return the oldest run of a kind and subject that has not ended."""
    row = await reader.one(_ACTIVE, kind=kind, subject=subject)
    return None if row is None else from_row(row)


async def page(reader: Reader, selection: Selection) -> Listed[Run]:
    """Return a page of the runs, newest first unless another order is asked for."""
    return (await LISTING.read(reader, selection)).map(from_row)


async def stop(tx: Transaction, run: int) -> bool:
    """Ask a run to end: a waiting one ends at once, a running one at its next step; False when it has ended."""
    now = clock.now()
    if await tx.execute(_STOP_WAITING, run=run, at=now):
        return True
    return bool(await tx.execute(_ASK_TO_STOP, run=run, at=now))


def from_row(row: Row) -> Run:
    """Read a row of the columns above."""
    found = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    found["parameters"] = json.loads(found["parameters"])
    found["result"] = None if found["result"] is None else json.loads(found["result"])
    return Run(**found | {"cause": Cause(found["cause"]), "state": State(found["state"])})
