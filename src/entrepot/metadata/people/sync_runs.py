"""Runs of synchronisations with a directory: when, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import bindparam, delete, update

from entrepot.metadata import clock
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import sync_runs

#: Runs that are kept.
KEPT = 500

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
_FORGET = Query(
    delete(sync_runs).where(sync_runs.c.provider == bindparam("provider"), sync_runs.c.id <= bindparam("last")),
    "sync_runs.forget",
)


async def start(tx: Transaction, provider: str, *, dry_run: bool) -> int:
    """Note that a run begins, and forget the oldest; returns its number."""
    row = await tx.one(_START, provider=provider, dry_run=int(dry_run), started_at=clock.now())
    assert row is not None
    await tx.execute(_FORGET, provider=provider, last=row[0] - KEPT)
    return int(row[0])


async def finish(tx: Transaction, run: int, report: Mapping[str, object]) -> None:
    """Note what came of a run."""
    await tx.execute(_FINISH, run=run, at=clock.now(), new_report=json.dumps(report, ensure_ascii=False))
