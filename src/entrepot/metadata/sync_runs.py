"""Runs of synchronisations with a directory: when, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import sync_runs

#: Runs that are kept.
KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """One run; times in microseconds since the epoch."""

    id: int
    dry_run: bool
    started_at: int
    finished_at: int | None
    report: Mapping[str, Any]


_COLUMNS = (
    sync_runs.c.id,
    sync_runs.c.dry_run,
    sync_runs.c.started_at,
    sync_runs.c.finished_at,
    sync_runs.c.report,
)
_START = Query(
    lambda d: (
        d.insert(sync_runs)
        .values(provider=bindparam("provider"), dry_run=bindparam("dry_run"), started_at=bindparam("started_at"))
        .returning(sync_runs.c.id)
    ),
    "sync_runs.start",
)
_FINISH = Query(
    update(sync_runs)
    .where(sync_runs.c.id == bindparam("run"))
    .values(finished_at=bindparam("at"), report=bindparam("new_report")),
    "sync_runs.finish",
)
_PAGE = Query(
    select(*_COLUMNS)
    .where(sync_runs.c.provider == bindparam("provider"), sync_runs.c.id < bindparam("before"))
    .order_by(sync_runs.c.id.desc())
    .limit(bindparam("most")),
    "sync_runs.page",
)
_FORGET = Query(
    delete(sync_runs).where(sync_runs.c.provider == bindparam("provider"), sync_runs.c.id <= bindparam("last")),
    "sync_runs.forget",
)


def _run(row: Row) -> SyncRun:
    report = json.loads(row[4]) if row[4] else {}
    return SyncRun(id=row[0], dry_run=bool(row[1]), started_at=row[2], finished_at=row[3], report=report)


async def start(tx: Transaction, provider: str, *, dry_run: bool) -> int:
    """Note that a run begins, and forget the oldest; returns its number."""
    row = await tx.one(_START, provider=provider, dry_run=int(dry_run), started_at=clock.now())
    assert row is not None
    await tx.execute(_FORGET, provider=provider, last=row[0] - KEPT)
    return int(row[0])


async def finish(tx: Transaction, run: int, report: Mapping[str, object]) -> None:
    """Note what came of a run."""
    await tx.execute(_FINISH, run=run, at=clock.now(), new_report=json.dumps(report, ensure_ascii=False))


async def page(reader: Reader, provider: str, *, limit: int, before: int = 2**63 - 1) -> list[SyncRun]:
    """Return the newest runs, or those before one."""
    return [_run(row) for row in await reader.all(_PAGE, provider=provider, before=before, most=limit)]
