"""Upload sessions, in the work database: rows about files that are still being received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, ScalarSelect, bindparam, delete, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.work_tables import upload_sessions
from entrepot.oci.upload import UploadState


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One open upload.

    `hashed_digest` is the digest, in `algorithm`, of the first `hashed_offset` bytes; None when no process hashed them
    all, so that they are read once when the upload is completed.
    """

    id: str
    repository: str
    principal: str
    state: UploadState
    algorithm: str
    hashed_offset: int
    hashed_digest: str | None
    started_at: int


_S = upload_sessions.c
_ADD = Query(
    lambda d: d.insert(upload_sessions).values(
        id=bindparam("id"),
        repository=bindparam("repository"),
        principal=bindparam("principal"),
        state=UploadState.OPEN.value,
        algorithm=bindparam("algorithm"),
        hashed_offset=0,
        hashed_digest=None,
        started_at=bindparam("now"),
        updated_at=bindparam("now"),
        counted_for=bindparam("counted_for"),
    ),
    "upload_sessions.add",
)
_FIND = Query(
    select(
        _S.id, _S.repository, _S.principal, _S.state, _S.algorithm, _S.hashed_offset, _S.hashed_digest, _S.started_at
    ).where(_S.id == bindparam("id")),
    "upload_sessions.find",
)
_PROGRESS = Query(
    update(upload_sessions)
    .where(_S.id == bindparam("session"))
    .values(hashed_offset=bindparam("hashed"), hashed_digest=bindparam("digest"), updated_at=bindparam("at")),
    "upload_sessions.progress",
)
_REMOVE = Query(delete(upload_sessions).where(in_list(_S.id, "ids")), "upload_sessions.remove")
_IDLE = Query(
    select(_S.id).where(_S.updated_at < bindparam("before")).order_by(_S.updated_at).limit(bindparam("limit")),
    "upload_sessions.idle",
)
_KNOWN = Query(select(_S.id).where(in_list(_S.id, "ids")), "upload_sessions.known")


def _at_most(limit: str, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """Count rows, and stop at a limit: beyond it the number does not matter."""
    found = select(_S.id).where(*conditions).limit(bindparam(limit)).subquery()
    return select(func.count()).select_from(found).scalar_subquery()


_OPEN = Query(
    select(
        _at_most("most", _S.counted_for == bindparam("counted_for"), _S.updated_at > bindparam("since")),
        _at_most("most_in_all"),
    ),
    "upload_sessions.open",
)


def _oldest_empty(condition: ColumnElement[bool], name: str) -> Query:
    found = select(_S.id).where(condition, _S.updated_at < bindparam("before"), _S.hashed_offset == 0)
    return Query(found.order_by(_S.updated_at).limit(bindparam("limit")), name)


_EMPTY_OF = _oldest_empty(_S.counted_for == bindparam("counted_for"), "upload_sessions.empty_of")
_EMPTY_OF_ADDRESSES = _oldest_empty(_S.counted_for != _S.principal, "upload_sessions.empty_of_addresses")


async def add(
    tx: Transaction, session_id: str, *, repository: str, principal: str, counted_for: str, algorithm: str
) -> None:
    """Open an upload session."""
    await tx.execute(
        _ADD,
        id=session_id,
        repository=repository,
        principal=principal,
        counted_for=counted_for,
        algorithm=algorithm,
        now=clock.now(),
    )


async def find(reader: Reader, session_id: str) -> SessionRow | None:
    """Return an open session."""
    row = await reader.one(_FIND, id=session_id)
    return None if row is None else SessionRow(row[0], row[1], row[2], UploadState(row[3]), *row[4:])


async def progress(tx: Transaction, session_id: str, *, hashed_offset: int, hashed_digest: str | None) -> None:
    """Note how far a session's bytes have been received and hashed."""
    await tx.execute(_PROGRESS, session=session_id, hashed=hashed_offset, digest=hashed_digest, at=clock.now())


async def remove(tx: Transaction, ids: Sequence[str]) -> None:
    """Close sessions."""
    await tx.execute(_REMOVE, ids=list(ids))


async def idle(reader: Reader, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that received nothing since `before`, in microseconds since the epoch."""
    return [row[0] for row in await reader.all(_IDLE, before=before, limit=limit)]


async def open_of(reader: Reader, counted_for: str, *, since: int, most: int, most_in_all: int) -> tuple[int, int]:
    """Count what counts for somebody and received something since a time, and all sessions, up to two limits."""
    row = await reader.one(_OPEN, counted_for=counted_for, since=since, most=most, most_in_all=most_in_all)
    assert row is not None
    return int(row[0]), int(row[1])


async def oldest_empty_of(reader: Reader, counted_for: str, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that count for somebody and of which no bytes are noted, begun before a time."""
    return [row[0] for row in await reader.all(_EMPTY_OF, counted_for=counted_for, before=before, limit=limit)]


async def oldest_empty_of_addresses(reader: Reader, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that count for an address and of which no bytes are noted, begun before a time."""
    return [row[0] for row in await reader.all(_EMPTY_OF_ADDRESSES, before=before, limit=limit)]


async def known(reader: Reader, ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that are open sessions."""
    return {row[0] for row in await reader.all(_KNOWN, ids=list(ids))}
