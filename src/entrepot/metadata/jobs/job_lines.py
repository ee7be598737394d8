"""What runs of jobs have to say: the latest lines of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, func, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import job_lines

#: Lines of one run that are kept.
KEPT: Final = 2_000
#: Characters of a line; what is longer is cut.
LONGEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `at` in microseconds since the epoch."""

    number: int
    at: int
    text: str


_L = job_lines.c
_ADD = Query(
    lambda d: d.insert(job_lines).values(
        run_id=bindparam("run_id"), number=bindparam("number"), at=bindparam("at"), text=bindparam("text")
    ),
    "job_lines.add",
)
_LAST = Query(select(func.max(_L.number)).where(_L.run_id == bindparam("run")), "job_lines.last")
_FORGET = Query(
    delete(job_lines).where(_L.run_id == bindparam("run"), _L.number <= bindparam("last")), "job_lines.forget"
)
_PAGE = Query(
    select(_L.number, _L.at, _L.text)
    .where(_L.run_id == bindparam("run"), _L.number > bindparam("after"))
    .order_by(_L.number)
    .limit(bindparam("most")),
    "job_lines.page",
)


async def add(tx: Transaction, run: int, lines: Sequence[tuple[int, str]]) -> None:
    """Add lines, each with its time, and forget the oldest beyond those that are kept."""
    if not lines:
        return
    row = await tx.one(_LAST, run=run)
    first = (row[0] if row is not None and row[0] is not None else 0) + 1
    kept = lines[-KEPT:]
    await tx.many(
        _ADD,
        [
            {"run_id": run, "number": number, "at": at, "text": text[:LONGEST]}
            for number, (at, text) in enumerate(kept, first)
        ],
    )
    await tx.execute(_FORGET, run=run, last=first + len(kept) - 1 - KEPT)


async def page(reader: Reader, run: int, *, after: int = 0, limit: int = KEPT) -> list[Line]:
    """Return the lines of a run that follow one, oldest first."""
    return [Line(*row) for row in await reader.all(_PAGE, run=run, after=after, most=limit)]
