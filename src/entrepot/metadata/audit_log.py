"""The audit log: the table of events, read in pages from the newest on, sealed in order and shortened from the oldest.

A page costs what it shows, however long the log is: it starts at an event's number, follows the index of the project or
the actor where one is asked for, and looks at `WINDOW` events at most before it says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Subquery,
    Text,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events

#: Events that one page may look at.
WINDOW: Final = 20_000
#: Greater than any event's number.
NEWEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event, with its place in the chain once it is sealed."""

    id: int
    kind: str
    project: str | None
    repository: str | None
    digest: str | None
    tag: str | None
    subject: str | None
    actor: str
    address: str | None
    credential: str | None
    request: str | None
    result: str | None
    count: int
    detail: str | None  #: JSON
    at: int  #: microseconds since the epoch
    sequence: int | None
    seal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events to show; None asks for any."""

    project: str | None = None
    actor: str | None = None
    kind: str | None = None
    repository: str | None = None
    subject: str | None = None  #: the beginning of it: `user:` finds what was done to any user
    address: str | None = None
    result: str | None = None
    since: int | None = None  #: microseconds since the epoch
    until: int | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events from the newest on; `before` is where the next page starts, None at the end of the log."""

    events: list[EventRecord]
    before: int | None


#: Fields of a filter that an event must equal.
_COMPARED: Final = ("project", "actor", "kind", "repository", "address", "result")
_COLUMNS = tuple(events.c[field.name] for field in fields(EventRecord))


def _wanted(column: Any, name: str) -> ColumnElement[bool]:
    value = cast(bindparam(name), Text)
    return or_(value.is_(None), column == value)


def _fitting(*conditions: ColumnElement[bool]) -> tuple[Subquery, list[ColumnElement[bool]]]:
    """Return the window, and what its events must be to fit the filter."""
    recent = (
        select(*_COLUMNS)
        .where(events.c.id < bindparam("before"), events.c.id >= bindparam("first"), *conditions)
        .order_by(events.c.id.desc())
        .limit(bindparam("window"))
        .subquery("recent")
    )
    subject = cast(bindparam("subject"), Text)
    begins = func.substr(recent.c.subject, 1, func.length(subject)) == subject
    wanted = [_wanted(recent.c[name], name) for name in _COMPARED]
    return recent, [*wanted, or_(subject.is_(None), begins)]


def _page(*conditions: ColumnElement[bool]) -> Select[Any]:
    recent, wanted = _fitting(*conditions)
    return (
        select(*(recent.c[column.name] for column in _COLUMNS))
        .where(*wanted)
        .order_by(recent.c.id.desc())
        .limit(bindparam("limit"))
        .offset(bindparam("skip"))
    )


def _count(*conditions: ColumnElement[bool]) -> Executable:
    recent, wanted = _fitting(*conditions)
    return select(func.count()).select_from(recent).where(*wanted)


def _last_of_window(*conditions: ColumnElement[bool]) -> Executable:
    recent = (
        select(events.c.id)
        .where(events.c.id < bindparam("before"), events.c.id >= bindparam("first"), *conditions)
        .order_by(events.c.id.desc())
        .limit(bindparam("window"))
        .subquery("recent")
    )
    return select(func.min(recent.c.id), func.count())


_OF_PROJECT = events.c.project == bindparam("the_project")
_OF_ACTOR = events.c.actor == bindparam("the_actor")
_PAGE = Query(_page(), "audit_log.page")
_PAGE_OF_PROJECT = Query(_page(_OF_PROJECT), "audit_log.page_of_project")
_PAGE_OF_ACTOR = Query(_page(_OF_ACTOR), "audit_log.page_of_actor")
_COUNT = Query(_count(), "audit_log.count")
_COUNT_OF_PROJECT = Query(_count(_OF_PROJECT), "audit_log.count_of_project")
_COUNT_OF_ACTOR = Query(_count(_OF_ACTOR), "audit_log.count_of_actor")
_LAST = Query(_last_of_window(), "audit_log.last")
_LAST_OF_PROJECT = Query(_last_of_window(_OF_PROJECT), "audit_log.last_of_project")
_LAST_OF_ACTOR = Query(_last_of_window(_OF_ACTOR), "audit_log.last_of_actor")
_NEXT_ID = Query(
    select(events.c.id, events.c.at).where(events.c.id >= bindparam("id")).order_by(events.c.id).limit(1),
    "audit_log.next_id",
)
#: Two questions, since SQLite looks up one end at a time.
_ENDS = Query(
    select(select(func.min(events.c.id)).scalar_subquery(), select(func.max(events.c.id)).scalar_subquery()),
    "audit_log.ends",
)
_UNSEALED = Query(
    select(*_COLUMNS).where(events.c.seal.is_(None)).order_by(events.c.id).limit(bindparam("limit")),
    "audit_log.unsealed",
)
_SEALED = Query(
    select(*_COLUMNS)
    .where(events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
    .limit(bindparam("limit")),
    "audit_log.sealed",
)
_SEAL = Query(
    update(events)
    .where(events.c.id == bindparam("event"), events.c.seal.is_(None))
    .values(sequence=bindparam("number"), seal=bindparam("hash")),
    "audit_log.seal",
)
_REMOVE = Query(delete(events).where(events.c.sequence <= bindparam("until")), "audit_log.remove")


@dataclass(frozen=True, slots=True)
class _Way:
    """The statements that follow one index, and its value."""

    page: Query
    count: Query
    last: Query
    given: dict[str, object]


def _way(wanted: Filter) -> _Way:
    if wanted.project is not None:
        return _Way(_PAGE_OF_PROJECT, _COUNT_OF_PROJECT, _LAST_OF_PROJECT, {"the_project": wanted.project})
    if wanted.actor is not None:
        return _Way(_PAGE_OF_ACTOR, _COUNT_OF_ACTOR, _LAST_OF_ACTOR, {"the_actor": wanted.actor})
    return _Way(_PAGE, _COUNT, _LAST, {})


async def page(reader: Reader, wanted: Filter, *, limit: int, before: int = NEWEST, skip: int = 0) -> EventPage:
    """Return the newest events before a number that fit a filter, without the first `skip` of them.

    The page may hold fewer than `limit`, even none, and still say where to go on: it has looked at `WINDOW` events.
    """
    way = _way(wanted)
    window = await _window(reader, wanted, way, before)
    found = [
        EventRecord(*row) for row in await reader.all(way.page, limit=limit, skip=skip, **window, **_values(wanted))
    ]
    if len(found) == limit:
        return EventPage(found, found[-1].id)
    seen = await reader.one(way.last, **window)
    more = seen is not None and seen[1] == WINDOW
    return EventPage(found, int(seen[0]) if more and seen is not None else None)


async def count(reader: Reader, wanted: Filter) -> int:
    """Count the events that fit a filter among the newest `WINDOW` of its project, actor or of all."""
    way = _way(wanted)
    row = await reader.one(way.count, **await _window(reader, wanted, way, NEWEST), **_values(wanted))
    return 0 if row is None else int(row[0])


async def _window(reader: Reader, wanted: Filter, way: _Way, before: int) -> dict[str, object]:
    first, end = await _bounds(reader, wanted, before)
    return {"before": end, "first": first, "window": WINDOW, **way.given}


def _values(wanted: Filter) -> dict[str, object]:
    return {name: getattr(wanted, name) for name in (*_COMPARED, "subject")}


async def _bounds(reader: Reader, wanted: Filter, before: int) -> tuple[int, int]:
    """Turn times into numbers: events are numbered in the order of their times."""
    first = 0 if wanted.since is None else await number_at(reader, wanted.since)
    return first, before if wanted.until is None else min(before, await number_at(reader, wanted.until))


async def number_at(reader: Reader, at: int) -> int:
    """Return the number of the first event at a time or after it, found by halving."""
    ends = await reader.one(_ENDS)
    if ends is None or ends[0] is None:
        return 0
    low, high = int(ends[0]), int(ends[1]) + 1
    while low < high:
        middle = (low + high) // 2
        row = await reader.one(_NEXT_ID, id=middle)
        if row is None or row[1] >= at:
            high = middle
        else:
            low = int(row[0]) + 1
    return low


async def unsealed(reader: Reader, *, limit: int) -> list[EventRecord]:
    """Return the oldest events that are not in the chain yet."""
    return [EventRecord(*row) for row in await reader.all(_UNSEALED, limit=limit)]


async def sealed(reader: Reader, *, after: int, limit: int) -> list[EventRecord]:
    """Return the events of the chain after a place in it, in its order."""
    return [EventRecord(*row) for row in await reader.all(_SEALED, after=after, limit=limit)]


async def seal(tx: Transaction, seals: Sequence[tuple[int, int, str]]) -> None:
    """Put events into the chain: number of the event, its place, and its hash."""
    await tx.many(_SEAL, [{"event": event, "number": place, "hash": hashed} for event, place, hashed in seals])


async def remove(tx: Transaction, until: int) -> int:
    """Remove the beginning of the chain up to a place in it; return how many events that were."""
    return await tx.execute(_REMOVE, until=until)
