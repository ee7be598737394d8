"""What projects and the disk used on each day, counted in days since 1970 (UTC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, exists, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import disk_days, project_usage, usage_days

DAY: Final = 24 * 3600 * clock.MICROSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedOnDay:
    """What a project used."""

    day: int
    blob_bytes: int
    full_bytes: int
    manifest_bytes: int
    manifests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOnDay:
    """What there was on the disk; what nobody knew is None."""

    day: int
    total_bytes: int | None
    free_bytes: int | None
    stored_bytes: int | None


_SUMS: Final = ("blob_bytes", "full_bytes", "manifest_bytes", "manifests")
_U, _D, _K = project_usage.c, usage_days.c, disk_days.c
_LATER = usage_days.alias("later")
_PROJECTS = Query(
    select(_U.project_id, _U.updated_at, *(_U[name] for name in _SUMS))
    .where(_U.project_id > bindparam("last"))
    .order_by(_U.project_id)
    .limit(bindparam("limit")),
    "usage_history.projects",
)
_PUT = Query(
    lambda d: (
        insert := d.insert(usage_days).values(
            project_id=bindparam("project"), day=bindparam("day"), **{name: bindparam(name) for name in _SUMS}
        )
    ).on_conflict_do_update(
        index_elements=[_D.project_id, _D.day], set_={name: insert.excluded[name] for name in _SUMS}
    ),
    "usage_history.put",
)
_PUT_DISK = Query(
    lambda d: (
        insert := d.insert(disk_days).values(
            day=bindparam("day"),
            total_bytes=bindparam("total"),
            free_bytes=bindparam("free"),
            stored_bytes=bindparam("stored"),
        )
    ).on_conflict_do_update(
        index_elements=[_K.day],
        set_={name: insert.excluded[name] for name in ("total_bytes", "free_bytes", "stored_bytes")},
    ),
    "usage_history.put_disk",
)
_OF_PROJECT = Query(
    select(_D.day, *(_D[name] for name in _SUMS))
    .where(_D.project_id == bindparam("project"), _D.day >= bindparam("since"))
    .order_by(_D.day),
    "usage_history.of_project",
)
_BEFORE = Query(
    select(_D.day, *(_D[name] for name in _SUMS))
    .where(_D.project_id == bindparam("project"), _D.day < bindparam("since"))
    .order_by(_D.day.desc())
    .limit(1),
    "usage_history.before",
)
_OF_DISK = Query(
    select(_K.day, _K.total_bytes, _K.free_bytes, _K.stored_bytes).where(_K.day >= bindparam("since")).order_by(_K.day),
    "usage_history.of_disk",
)
#: The last one before the bound stays: it says what was used on the days after it.
_OLD = Query(
    select(_D.project_id, _D.day)
    .where(
        _D.day < bindparam("before"),
        exists(
            select(1).where(
                _LATER.c.project_id == _D.project_id, _LATER.c.day > _D.day, _LATER.c.day <= bindparam("before")
            )
        ).correlate(usage_days),
    )
    .limit(bindparam("limit")),
    "usage_history.old",
)
_FORGET = Query(
    delete(usage_days).where(_D.project_id == bindparam("project"), _D.day == bindparam("gone")),
    "usage_history.forget",
)
_FORGET_DISK = Query(delete(disk_days).where(_K.day < bindparam("before")), "usage_history.forget_disk")


def day_of(microseconds: int) -> int:
    """Return the day of a time."""
    return microseconds // DAY


async def note_projects(tx: Transaction, *, last: int, since: int, day: int, limit: int) -> tuple[int, int | None]:
    """Note what the next projects use, of those whose usage changed since a time (in microseconds since the epoch).

    Return how many were noted, and the last one that was looked at; None when there is no more.
    """
    rows = await tx.all(_PROJECTS, last=last, limit=limit)
    changed = [row for row in rows if row[1] >= since]
    await tx.many(_PUT, [{"project": row[0], "day": day, **dict(zip(_SUMS, row[2:], strict=True))} for row in changed])
    return len(changed), rows[-1][0] if rows else None


async def note_disk(tx: Transaction, today: DiskOnDay) -> None:
    """Note what there is on the disk."""
    await tx.execute(
        _PUT_DISK, day=today.day, total=today.total_bytes, free=today.free_bytes, stored=today.stored_bytes
    )


async def of_project(reader: Reader, project_id: int, *, since: int) -> list[UsedOnDay]:
    """Return what a project used on days from `since` on, those on which nothing changed left out.

    The first may be of an earlier day: it is what was used on `since`.
    """
    before = await reader.one(_BEFORE, project=project_id, since=since)
    rows = await reader.all(_OF_PROJECT, project=project_id, since=since)
    return [_used(row) for row in ([before] if before is not None else []) + rows]


def _used(row: Row) -> UsedOnDay:
    return UsedOnDay(day=row[0], blob_bytes=row[1], full_bytes=row[2], manifest_bytes=row[3], manifests=row[4])


async def of_disk(reader: Reader, *, since: int) -> list[DiskOnDay]:
    """Return what there was on the disk on days from `since` on."""
    rows = await reader.all(_OF_DISK, since=since)
    return [DiskOnDay(day=row[0], total_bytes=row[1], free_bytes=row[2], stored_bytes=row[3]) for row in rows]


async def forget_some(tx: Transaction, *, before: int, limit: int) -> int:
    """Remove up to `limit` days before a day; return how many those were. What was used since then stays known."""
    rows: Sequence[Row] = await tx.all(_OLD, before=before, limit=limit)
    await tx.many(_FORGET, [{"project": row[0], "gone": row[1]} for row in rows])
    if len(rows) < limit:
        await tx.execute(_FORGET_DISK, before=before)
    return len(rows)
