"""Rows that only tests look at, and those of pages that tests want whole."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from entrepot.metadata.contents import tag_history
from entrepot.metadata.contents.tag_history import TagMove
from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import Order, Selection
from entrepot.metadata.people.grants import GrantRecord, record_of, select_grants
from entrepot.metadata.query import Query
from entrepot.metadata.tables import findings, grants, sync_runs

_GRANTS = Query(select_grants().order_by(grants.c.id), "test.grants")
_OPEN_FINDINGS = Query(
    select(findings.c.kind, findings.c.subject, findings.c.found_by)
    .where(findings.c.ended_at.is_(None))
    .order_by(findings.c.subject, findings.c.kind),
    "test.open_findings",
)
_SYNC_RUNS = Query(
    select(sync_runs.c.dry_run, sync_runs.c.finished_at, sync_runs.c.report)
    .where(sync_runs.c.provider == bindparam("provider"))
    .order_by(sync_runs.c.id.desc()),
    "test.sync_runs",
)


class SyncRun(NamedTuple):
    """One run of a synchronisation."""

    dry_run: bool
    finished_at: int | None
    report: dict[str, Any]  #: empty while it runs


async def all_grants(reader: Reader) -> list[GrantRecord]:
    """Return every grant, oldest first."""
    return [record_of(row) for row in await reader.all(_GRANTS)]


async def open_findings(reader: Reader) -> list[tuple[str, str, str]]:
    """Return kind, subject and finder of all that is found damaged now, in the order of the subjects."""
    return [(row[0], row[1], row[2]) for row in await reader.all(_OPEN_FINDINGS)]


async def moves_of(reader: Reader, repository_id: int, tag: str) -> list[TagMove]:
    """Return the moves of a tag, oldest first."""
    oldest_first = Selection(order=(Order("id"),))
    return (await tag_history.page(reader, repository_id, tag, oldest_first)).items


async def runs_of(reader: Reader, provider: str) -> list[SyncRun]:
    """Return the runs of synchronisations with a directory, latest first."""
    rows = await reader.all(_SYNC_RUNS, provider=provider)
    return [SyncRun(bool(row[0]), row[1], json.loads(row[2]) if row[2] else {}) for row in rows]
