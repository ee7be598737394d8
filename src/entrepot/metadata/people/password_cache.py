"""What came of passwords that were tried a moment ago, for all workers of a node.

A row names a pair of name and password by a keyed hash whose key is in no database, so that it is worth nothing to
whoever reads the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import password_verdicts

_C = password_verdicts.c


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """Whether it was right, for which state of the account, and until when that counts (microseconds)."""

    right: bool
    state: str
    expires_at: int


_FIND = Query(
    select(_C.right, _C.state, _C.expires_at).where(_C.mark == bindparam("mark"), _C.expires_at > bindparam("now")),
    "password_cache.find",
)
_PUT = Query(
    lambda d: (
        d.insert(password_verdicts)
        .values(
            mark=bindparam("mark"),
            right=bindparam("right"),
            state=bindparam("state"),
            expires_at=bindparam("expires_at"),
        )
        .on_conflict_do_update(
            index_elements=[_C.mark],
            set_={
                "right": bindparam("right"),
                "state": bindparam("state"),
                "expires_at": bindparam("expires_at"),
            },
        )
    ),
    "password_cache.put",
)
_REMOVE_OLD = Query(delete(password_verdicts).where(_C.expires_at <= bindparam("now")), "password_cache.remove_old")


async def find(reader: Reader, mark: str, *, now: int) -> VerdictRecord | None:
    """Return what came of a pair of name and password, if that still counts."""
    row = await reader.one(_FIND, mark=mark, now=now)
    return None if row is None else VerdictRecord(bool(row[0]), row[1], row[2])


async def put(tx: Transaction, mark: str, record: VerdictRecord, *, now: int) -> None:
    """Keep what came of one; what no longer counts goes."""
    await tx.execute(_REMOVE_OLD, now=now)
    right = int(record.right)
    await tx.execute(_PUT, mark=mark, right=right, state=record.state, expires_at=record.expires_at)
