"""The audit log: the table of events, read in pages from the newest on, sealed in order and shortened from the oldest.

A page costs what it shows, however long the log is: it starts at an event's number, follows the index of the project or
the actor where one is asked for, and looks at `WINDOW` events at most before it says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.events import CONFIGURE, GRANT, PUSH, REVOKE, SIGN_IN, SIGN_OUT
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import events

#: Events that one page may look at.
WINDOW: Final = 20_000
#: What a page can be sorted by.
SORTS: Final = ("id", "op_time", "username", "operation", "resource", "resource_type")
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
    operations: tuple[str, ...] = ()  #: one of these, by Harbor's words or ours
    resource_type: str | None = None  #: `artifact`, `user`, ...
    actor_part: str | None = None  #: text within the actor's name, whatever its case
    resource: str | None = None  #: what it was done to, as lists show it
    resource_part: str | None = None  #: text within that


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


def _operation_of(event: Any) -> ColumnElement[str]:
    """Say what was done in Harbor's words, which has fewer than we have; the rest keeps ours."""
    member = event.project.is_not(None)
    return case(
        (event.kind == PUSH, "create"),
        (event.kind == CONFIGURE, "update"),
        (event.kind == SIGN_IN, "login"),
        (event.kind == SIGN_OUT, "logout"),
        (and_(event.kind == GRANT, member), "create"),
        (and_(event.kind == REVOKE, member), "delete"),
        else_=event.kind,
    )


def _type_of(event: Any, dialect: Dialect) -> ColumnElement[str]:
    """Say to what kind of thing it was done, by Harbor's names."""
    position: Any = func.instr if dialect.name == SQLITE.name else func.strpos
    subject = func.coalesce(event.subject, "project", type_=TEXT) + literal(":", TEXT)
    member = and_(or_(event.kind == GRANT, event.kind == REVOKE), event.project.is_not(None))
    return case(
        (and_(event.repository.is_not(None), event.digest.is_not(None)), "artifact"),
        (and_(event.repository.is_not(None), event.tag.is_not(None)), "tag"),
        (event.repository.is_not(None), "repository"),
        (member, "member"),
        else_=func.substr(subject, 1, position(subject, ":") - 1, type_=TEXT),
    )


def _resource_of(event: Any, dialect: Dialect) -> ColumnElement[str]:
    """Say what it was done to: `team/app:v1`, `team/app@sha256:…`, or a name."""
    position: Any = func.instr if dialect.name == SQLITE.name else func.strpos
    colon, at = literal(":", TEXT), literal("@", TEXT)
    reference = func.coalesce(colon + event.tag, at + event.digest, "", type_=TEXT)
    name = func.substr(event.subject, position(event.subject, ":") + 1, type_=TEXT)
    return func.coalesce(event.repository + reference, func.nullif(name, ""), event.subject, event.project, "")


def _harbors(event: Any, dialect: Dialect) -> list[ColumnElement[bool]]:
    """Return what Harbor's clients filter by, of the events in a window."""
    position: Any = func.instr if dialect.name == SQLITE.name else func.strpos
    operation, kind, resource = _operation_of(event), _type_of(event, dialect), _resource_of(event, dialect)
    actor_part, part = cast(bindparam("actor_part"), Text), cast(bindparam("resource_part"), Text)
    wanted = cast(bindparam("resource"), Text)
    return [
        or_(
            bindparam("any_operation", type_=WHOLE) == 1,
            in_list(operation, "operations"),
            in_list(event.kind, "operations"),
        ),
        or_(cast(bindparam("resource_type"), Text).is_(None), kind == cast(bindparam("resource_type"), Text)),
        or_(actor_part.is_(None), position(func.lower(event.actor), func.lower(actor_part)) > 0),
        or_(wanted.is_(None), event.repository == wanted, resource == wanted),
        or_(part.is_(None), position(func.lower(resource), func.lower(part)) > 0),
    ]


def _fitting(dialect: Dialect, *conditions: ColumnElement[bool]) -> tuple[Subquery, list[ColumnElement[bool]]]:
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
    return recent, [*wanted, or_(subject.is_(None), begins), *_harbors(recent.c, dialect)]


def _page(*conditions: ColumnElement[bool]) -> Callable[[Dialect], Select[Any]]:
    def build(dialect: Dialect) -> Select[Any]:
        recent, wanted = _fitting(dialect, *conditions)
        return (
            select(*(recent.c[column.name] for column in _COLUMNS))
            .where(*wanted)
            .order_by(recent.c.id.desc())
            .limit(bindparam("limit"))
            .offset(bindparam("skip"))
        )

    return build


def _sorted(*conditions: ColumnElement[bool]) -> Callable[[Dialect], Select[Any]]:
    """Sort the window by one of `SORTS`; it is no longer than it is."""

    def build(dialect: Dialect) -> Select[Any]:
        recent, wanted = _fitting(dialect, *conditions)
        columns = {
            "id": cast(recent.c.id, WHOLE),
            "op_time": recent.c.at,
            "username": recent.c.actor,
            "operation": _operation_of(recent.c),
            "resource": _resource_of(recent.c, dialect),
            "resource_type": _type_of(recent.c, dialect),
        }
        by = bindparam("by", type_=TEXT)
        up = [case((by == name, column)) for name, column in columns.items()]
        down = [case((by == f"-{name}", column)).desc() for name, column in columns.items()]
        return (
            select(*(recent.c[column.name] for column in _COLUMNS))
            .where(*wanted)
            .order_by(*up, *down, recent.c.id.desc())
            .limit(bindparam("limit"))
            .offset(bindparam("skip"))
        )

    return build


def _count(*conditions: ColumnElement[bool]) -> Callable[[Dialect], Executable]:
    def build(dialect: Dialect) -> Executable:
        recent, wanted = _fitting(dialect, *conditions)
        return select(func.count()).select_from(recent).where(*wanted)

    return build


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
_SORTED = Query(_sorted(), "audit_log.sorted")
_SORTED_OF_PROJECT = Query(_sorted(_OF_PROJECT), "audit_log.sorted_of_project")
_SORTED_OF_ACTOR = Query(_sorted(_OF_ACTOR), "audit_log.sorted_of_actor")
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
    sorted: Query
    count: Query
    last: Query
    given: dict[str, object]


def _way(wanted: Filter) -> _Way:
    if wanted.project is not None:
        return _Way(
            _PAGE_OF_PROJECT, _SORTED_OF_PROJECT, _COUNT_OF_PROJECT, _LAST_OF_PROJECT, {"the_project": wanted.project}
        )
    if wanted.actor is not None:
        return _Way(_PAGE_OF_ACTOR, _SORTED_OF_ACTOR, _COUNT_OF_ACTOR, _LAST_OF_ACTOR, {"the_actor": wanted.actor})
    return _Way(_PAGE, _SORTED, _COUNT, _LAST, {})


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


async def sorted_page(reader: Reader, wanted: Filter, by: str, *, limit: int, skip: int = 0) -> list[EventRecord]:
    """Return a part of the newest `WINDOW` events that fit, in the order of one of `SORTS`, `-` before it for down."""
    way = _way(wanted)
    window = await _window(reader, wanted, way, NEWEST)
    rows = await reader.all(way.sorted, by=by, limit=limit, skip=skip, **window, **_values(wanted))
    return [EventRecord(*row) for row in rows]


async def count(reader: Reader, wanted: Filter) -> int:
    """Count the events that fit a filter among the newest `WINDOW` of its project, actor or of all."""
    way = _way(wanted)
    row = await reader.one(way.count, **await _window(reader, wanted, way, NEWEST), **_values(wanted))
    return 0 if row is None else int(row[0])


async def _window(reader: Reader, wanted: Filter, way: _Way, before: int) -> dict[str, object]:
    first, end = await _bounds(reader, wanted, before)
    return {"before": end, "first": first, "window": WINDOW, **way.given}


def _values(wanted: Filter) -> dict[str, object]:
    names = (*_COMPARED, "subject", "operations", "resource_type", "actor_part", "resource", "resource_part")
    return {name: getattr(wanted, name) for name in names} | {"any_operation": int(not wanted.operations)}


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
