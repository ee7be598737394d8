"""Findings: bytes that were found damaged or lost, until they are whole again.

A finding is opened in the transaction that takes the bytes out of sight, and ended in the one that brings them back, so
that the open ones are what is wrong now.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import findings

BLOB_DAMAGED = "blob damaged"
BLOB_MISSING = "blob missing"
MANIFEST_DAMAGED = "manifest damaged"
KINDS = (BLOB_DAMAGED, BLOB_MISSING, MANIFEST_DAMAGED)

_IS_OPEN = findings.c.ended_at.is_(None)
_OPEN = Query(
    lambda d: (
        d.insert(findings)
        .values(
            kind=bindparam("kind"),
            subject=bindparam("subject"),
            detail=bindparam("detail"),
            found_by=bindparam("by"),
            found_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
    ),
    "findings.open",
)
_END = Query(
    update(findings)
    .where(findings.c.subject == bindparam("about"), _IS_OPEN)
    .values(ended_at=bindparam("now"), ended_by=bindparam("by")),
    "findings.end",
)
_AMONG = Query(select(findings.c.subject).where(in_list(findings.c.subject, "subjects"), _IS_OPEN), "findings.among")
_COUNT = Query(select(findings.c.kind, func.count()).where(_IS_OPEN).group_by(findings.c.kind), "findings.count")


async def open_(tx: Transaction, kind: str, subject: str, *, detail: str, by: str) -> bool:
    """Record that something is wrong; False when it is known already."""
    return await tx.execute(_OPEN, kind=kind, subject=subject, detail=detail, by=by, now=clock.now()) == 1


async def end(tx: Transaction, subject: str, *, by: str) -> int:
    """Record that nothing is wrong with `subject` any more; return how many findings that ended."""
    return await tx.execute(_END, about=subject, by=by, now=clock.now())


async def among(reader: Reader, subjects: Sequence[str]) -> set[str]:
    """Return those of `subjects` that something is wrong with."""
    return {row[0] for row in await reader.all(_AMONG, subjects=list(subjects))} if subjects else set()


async def count_open(reader: Reader) -> dict[str, int]:
    """Count the open findings of each kind."""
    return {row[0]: row[1] for row in await reader.all(_COUNT)}
