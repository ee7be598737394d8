"""When kinds of jobs run by themselves: one schedule for each kind and subject."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import schedules


class Origin(StrEnum):
    """Who decided on a schedule."""

    CONFIGURATION = "configuration"  #: the configuration file, or a default; a later start may change it
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule; times in microseconds since the epoch. Without a next one it is not in force."""

    id: int
    kind: str
    subject: str
    cron: str
    time_zone: str
    parameters: Mapping[str, Any]
    origin: Origin
    next_at: int | None
    created_at: int
    updated_at: int


_S = schedules.c
_COLUMNS = (
    _S.id,
    _S.kind,
    _S.subject,
    _S.cron,
    _S.time_zone,
    _S.parameters,
    _S.origin,
    _S.next_at,
    _S.created_at,
    _S.updated_at,
)
FIELDS: Mapping[str, Field] = {
    "id": Field(column=_S.id, kind=Kind.NUMBER),
    "kind": Field(column=_S.kind),
    "subject": Field(column=_S.subject),
}
LISTING = Listing("schedules", select(*_COLUMNS), FIELDS, order=(Order("kind"), Order("subject")), key=_S.id)
IN_FORCE = Listing("schedules in force", select(*_COLUMNS).where(_S.next_at.is_not(None)), {}, order=(), key=_S.id)
_FIND = Query(
    select(*_COLUMNS).where(_S.kind == bindparam("kind"), _S.subject == bindparam("subject")), "schedules.find"
)
_DUE = Query(
    select(*_COLUMNS)
    .where(_S.next_at <= bindparam("now"), in_list(_S.kind, "kinds"))
    .order_by(_S.next_at)
    .limit(bindparam("most")),
    "schedules.due",
)
_WAITING = Query(
    select(*_COLUMNS)
    .where(_S.next_at > bindparam("now"), _S.id > bindparam("after"))
    .order_by(_S.id)
    .limit(bindparam("most")),
    "schedules.waiting",
)
_PUT = Query(
    lambda d: (
        (
            put := d.insert(schedules).values(
                kind=bindparam("kind"),
                subject=bindparam("subject"),
                cron=bindparam("cron"),
                time_zone=bindparam("time_zone"),
                parameters=bindparam("parameters"),
                origin=bindparam("origin"),
                next_at=bindparam("next_at"),
                created_at=bindparam("now"),
                updated_at=bindparam("now"),
            )
        )
        .on_conflict_do_update(
            index_elements=[_S.kind, _S.subject],
            set_={
                name: put.excluded[name]
                for name in ("cron", "time_zone", "parameters", "origin", "next_at", "updated_at")
            },
        )
        .returning(_S.id)
    ),
    "schedules.put",
)
_ADVANCE = Query(
    update(schedules)
    .where(_S.id == bindparam("schedule"), _S.next_at == bindparam("was"))
    .values(next_at=bindparam("then")),
    "schedules.advance",
)
_REMOVE = Query(
    delete(schedules).where(_S.kind == bindparam("its_kind"), _S.subject == bindparam("its_subject")),
    "schedules.remove",
)


async def find(reader: Reader, kind: str, subject: str = "") -> Schedule | None:
    """Return the schedule of a kind and subject."""
    row = await reader.one(_FIND, kind=kind, subject=subject)
    return None if row is None else _schedule(row)


async def due(reader: Reader, kinds: Sequence[str], limit: int) -> list[Schedule]:
    """Return the schedules of some kinds whose time has come, the longest overdue first."""
    return [_schedule(row) for row in await reader.all(_DUE, kinds=kinds, now=clock.now(), most=limit)]


async def waiting(reader: Reader, *, after: int, limit: int) -> list[Schedule]:
    """Return the schedules whose time is still to come, by their numbers, those after one."""
    return [_schedule(row) for row in await reader.all(_WAITING, now=clock.now(), after=after, most=limit)]


async def page(reader: Reader, selection: Selection, *, in_force: bool = False) -> Listed[Schedule]:
    """Return a page of the schedules, of all or only of those in force."""
    return (await (IN_FORCE if in_force else LISTING).read(reader, selection)).map(_schedule)


async def put(
    tx: Transaction,
    *,
    kind: str,
    subject: str = "",
    cron: str,
    time_zone: str = "UTC",
    parameters: Mapping[str, Any],
    origin: Origin,
    next_at: int | None,
) -> int:
    """Set the schedule of a kind and subject; without a next time it is not in force. Returns its number."""
    row = await tx.one(
        _PUT,
        kind=kind,
        subject=subject,
        cron=cron,
        time_zone=time_zone,
        parameters=json.dumps(parameters, ensure_ascii=False),
        origin=origin.value,
        next_at=next_at,
        now=clock.now(),
    )
    assert row is not None
    return int(row[0])


async def advance(tx: Transaction, schedule: Schedule, next_at: int) -> bool:
    """Set a schedule's next time; False when another worker has."""
    return await tx.execute(_ADVANCE, schedule=schedule.id, was=schedule.next_at, then=next_at) == 1


async def remove(tx: Transaction, kind: str, subject: str = "") -> bool:
    """Remove a schedule; False when there was none."""
    return await tx.execute(_REMOVE, its_kind=kind, its_subject=subject) == 1


def _schedule(row: Any) -> Schedule:
    found = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    found |= {
        "parameters": json.loads(found["parameters"]),
        "origin": Origin(found["origin"]),
    }
    return Schedule(**found)
