"""What runs of retention policies decided about each tag: packed, some hundreds in each row, of the latest runs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, func, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import job_runs, retention_tasks, retention_verdicts

#: Verdicts of one piece.
PIECE: Final = 1_000
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """What was decided about one tag, or about one manifest that has none."""

    tag: str | None
    digest: str
    manifest_id: int
    pushed_at: int
    kept: bool
    rule: int | None
    reason: str


_T, _V, _R = retention_tasks.c, retention_verdicts.c, job_runs.c
_ADD: Final = Query(
    lambda d: d.insert(retention_verdicts).values(
        task_id=bindparam("task"), piece=bindparam("number"), content=bindparam("content")
    ),
    "retention_verdicts.add",
)
_PIECE: Final = Query(
    select(_V.content).where(_V.task_id == bindparam("task"), _V.piece == bindparam("number")),
    "retention_verdicts.piece",
)
_LAST: Final = Query(select(func.max(_V.piece)).where(_V.task_id == bindparam("task")), "retention_verdicts.last")
_FORGET: Final = Query(
    delete(retention_verdicts).where(in_list(_V.task_id, "tasks"), _V.piece < bindparam("upto")),
    "retention_verdicts.forget",
)
_RUNS: Final = Query(
    select(_R.id)
    .where(_R.kind == bindparam("kind"), _R.subject == bindparam("subject"), _R.id < bindparam("before"))
    .order_by(_R.id.desc())
    .limit(bindparam("limit")),
    "retention_verdicts.runs",
)
_TOTALS: Final = Query(
    select(_T.run_id, func.sum(_T.total)).where(in_list(_T.run_id, "runs")).group_by(_T.run_id),
    "retention_verdicts.totals",
)
_STORED: Final = Query(
    select(_T.id, _T.total)
    .where(
        _T.run_id == bindparam("run"),
        _T.id > bindparam("last"),
        exists(select(1).where(_V.task_id == _T.id)).correlate(retention_tasks),
    )
    .order_by(_T.id)
    .limit(bindparam("limit")),
    "retention_verdicts.stored",
)


async def add_piece(tx: Transaction, task: int, number: int, content: bytes) -> None:
    """Write down the verdicts of one piece, packed."""
    await tx.execute(_ADD, task=task, number=number, content=content)


async def piece(reader: Reader, task: int, number: int) -> list[StoredVerdict]:
    """Return the verdicts of one piece; none after the last, nor of those that were forgotten."""
    row = await reader.one(_PIECE, task=task, number=number)
    return [] if row is None else unpacked(row[0])


async def pieces(reader: Reader, task: int) -> int:
    """Return how many pieces a task has, counting those that were forgotten before others."""
    row = await reader.one(_LAST, task=task)
    return 0 if row is None or row[0] is None else int(row[0]) + 1


async def forget(tx: Transaction, tasks: Sequence[int], *, upto: int) -> None:
    """Forget the pieces of tasks with a lower number than `upto`."""
    await tx.execute(_FORGET, tasks=list(tasks), upto=upto)


async def runs_before(reader: Reader, kind: str, subject: str, before: int, *, limit: int) -> list[int]:
    """Return the numbers of runs about something, the latest first, of those with a lower one."""
    rows = await reader.all(_RUNS, kind=kind, subject=subject, before=before, limit=limit)
    return [row[0] for row in rows]


async def totals_of(reader: Reader, runs: Sequence[int]) -> dict[int, int]:
    """Return how many verdicts each run came to."""
    rows = await reader.all(_TOTALS, runs=list(runs)) if runs else []
    return {row[0]: int(row[1]) for row in rows}


async def stored(reader: Reader, run: int, last: int, *, limit: int) -> list[tuple[int, int]]:
    """Return tasks of a run whose verdicts are not forgotten, after one: row ids, and how many they came to."""
    return [(row[0], row[1]) for row in await reader.all(_STORED, run=run, last=last, limit=limit)]


def packed(verdicts: Iterable[StoredVerdict]) -> bytes:
    """Write verdicts small: much of one is as in the one before."""
    rows: list[Sequence[Any]] = [
        (one.tag, one.digest, one.manifest_id, one.pushed_at, int(one.kept), one.rule, one.reason) for one in verdicts
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), _LEVEL)


def unpacked(content: bytes) -> list[StoredVerdict]:
    """Read what `packed` wrote."""
    return [StoredVerdict(*(*row[:4], bool(row[4]), *row[5:])) for row in json.loads(zlib.decompress(content))]
