"""Counts of requests within a span of time, added up over all workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, case, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.work_tables import request_counts

_C = request_counts.c

_ADD = Query(
    lambda d: (
        d.insert(request_counts)
        .values(name=bindparam("name"), count=bindparam("count"), ends_at=bindparam("ends_at"))
        .on_conflict_do_update(
            index_elements=[_C.name],
            set_={
                "count": case(
                    (_C.ends_at == bindparam("ends_at"), _C.count + bindparam("count")), else_=bindparam("count")
                ),
                "ends_at": bindparam("ends_at"),
            },
        )
    ),
    "request_counts.add",
)
_READ = Query(
    select(_C.name, _C.ends_at, _C.count).where(in_list(_C.name, "names"), _C.ends_at > bindparam("now")),
    "request_counts.read",
)
_READ_RANGE = Query(
    select(_C.name, _C.count).where(
        _C.name >= bindparam("first"),
        _C.name < bindparam("beyond"),
        _C.ends_at > bindparam("now"),
        _C.ends_at <= bindparam("latest"),
    ),
    "request_counts.read_range",
)
_REMOVE = Query(delete(request_counts).where(in_list(_C.name, "names")), "request_counts.remove")
_REMOVE_ENDED = Query(delete(request_counts).where(_C.ends_at <= bindparam("now")), "request_counts.remove_ended")

_EVER = 2**40
#: What is counted, and when the span ends (seconds since the epoch).
Key = tuple[str, int]


async def add(tx: Transaction, counts: Mapping[Key, int], *, now: int) -> None:
    """Add to the counts; those of spans that have ended go."""
    await tx.execute(_REMOVE_ENDED, now=now)
    rows = [{"name": name, "count": count, "ends_at": ends_at} for (name, ends_at), count in sorted(counts.items())]
    await tx.many(_ADD, rows)


async def read(reader: Reader, names: Collection[str], *, now: int) -> dict[Key, int]:
    """Return the counts of spans that have not ended."""
    return {(row[0], row[1]): row[2] for row in await reader.all(_READ, names=names, now=now)}


async def remove(tx: Transaction, names: Collection[str]) -> None:
    """Forget counts."""
    await tx.execute(_REMOVE, names=list(names))


async def read_range(reader: Reader, first: str, beyond: str, *, now: int, longest: int = _EVER) -> dict[str, int]:
    """Return the counts that have not ended of all names from `first` on, and before `beyond`.

    Those that end later than `longest` seconds from now were made by a wrong clock, and do not count.
    """
    return dict(await reader.all(_READ_RANGE, first=first, beyond=beyond, now=now, latest=now + longest))
