"""Upload sessions, in the work database: rows about files that are still being received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    store_state: str | None = None  #: what an object store said of it, in its own words


class Hashed(NamedTuple):
    """The digest of the first `offset` bytes; None when no process hashed them all."""

    offset: int
    digest: str | None


class Opened(NamedTuple):
    """How many sessions are open, each number up to a limit."""

    mine: int
    of_addresses: int
    in_all: int


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
        store_state=bindparam("store_state"),
        started_at=bindparam("now"),
        updated_at=bindparam("now"),
        counted_for=bindparam("counted_for"),
    ),
    "upload_sessions.add",
)
_FIND = Query(
    select(
        _S.id,
        _S.repository,
        _S.principal,
        _S.state,
        _S.algorithm,
        _S.hashed_offset,
        _S.hashed_digest,
        _S.started_at,
        _S.store_state,
    ).where(_S.id == bindparam("id")),
    "upload_sessions.find",
)
_PROGRESS = Query(
    update(upload_sessions)
    .where(_S.id == bindparam("session"))
    .values(hashed_offset=bindparam("hashed"), hashed_digest=bindparam("digest"), updated_at=bindparam("at")),
    "upload_sessions.progress",
)
#: The same where the store has a state: it counts only on top of the state that it was made from.
_ADVANCE = Query(
    update(upload_sessions)
    .where(_S.id == bindparam("session"), _S.store_state == bindparam("seen"))
    .values(
        hashed_offset=bindparam("hashed"),
        hashed_digest=bindparam("digest"),
        store_state=bindparam("to"),
        updated_at=bindparam("at"),
    ),
    "upload_sessions.advance",
)
_TOUCH = Query(
    update(upload_sessions).where(in_list(_S.id, "ids")).values(updated_at=bindparam("at")), "upload_sessions.touch"
)
_REMOVE = Query(delete(upload_sessions).where(in_list(_S.id, "ids")), "upload_sessions.remove")
_IDLE = Query(
    select(_S.id).where(_S.updated_at < bindparam("before")).order_by(_S.updated_at).limit(bindparam("limit")),
    "upload_sessions.idle",
)
_KNOWN = Query(select(_S.id).where(in_list(_S.id, "ids")), "upload_sessions.known")
_STATES = Query(
    select(_S.id, _S.store_state).where(in_list(_S.id, "ids"), _S.store_state.is_not(None)), "upload_sessions.states"
)
_TAKE = Query(
    delete(upload_sessions)
    .where(in_list(_S.id, "ids"), _S.updated_at < bindparam("before"))
    .returning(_S.id, _S.store_state),
    "upload_sessions.take",
)
_END = Query(
    delete(upload_sessions).where(_S.id == bindparam("session"), _S.store_state == bindparam("seen")),
    "upload_sessions.end",
)


def _at_most(limit: str, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """Count rows, and stop at a limit: beyond it the number does not matter."""
    found = select(_S.id).where(*conditions).limit(bindparam(limit)).subquery()
    return select(func.count()).select_from(found).scalar_subquery()


_OF_ADDRESS = _S.counted_for != _S.principal  #: the table has an index of these
_OPEN = Query(
    select(
        _at_most("most", _S.counted_for == bindparam("counted_for"), _S.updated_at > bindparam("since")),
        _at_most("most_of_addresses", _OF_ADDRESS),
        _at_most("most_in_all"),
    ),
    "upload_sessions.open",
)


def _oldest(name: str, *conditions: ColumnElement[bool]) -> Query:
    found = select(_S.id).where(*conditions, _S.updated_at < bindparam("before"))
    return Query(found.order_by(_S.updated_at).limit(bindparam("limit")), name)


_EMPTY = _S.hashed_offset == 0
_EMPTY_OF = _oldest("upload_sessions.empty_of", _S.counted_for == bindparam("counted_for"), _EMPTY)
_EMPTY_OF_ADDRESSES = _oldest("upload_sessions.empty_of_addresses", _OF_ADDRESS, _EMPTY)
_IDLE_OF_ADDRESSES = _oldest("upload_sessions.idle_of_addresses", _OF_ADDRESS)


async def add(
    tx: Transaction,
    session_id: str,
    *,
    repository: str,
    principal: str,
    counted_for: str,
    algorithm: str,
    store_state: str | None = None,
) -> None:
    """Open an upload session."""
    await tx.execute(
        _ADD,
        id=session_id,
        repository=repository,
        principal=principal,
        counted_for=counted_for,
        algorithm=algorithm,
        store_state=store_state,
        now=clock.now(),
    )


async def find(reader: Reader, session_id: str) -> SessionRow | None:
    """Return an open session."""
    row = await reader.one(_FIND, id=session_id)
    return None if row is None else SessionRow(row[0], row[1], row[2], UploadState(row[3]), *row[4:])


async def progress(tx: Transaction, session_id: str, *, hashed: Hashed) -> None:
    """Note how far a session's bytes have been received and hashed."""
    await tx.execute(_PROGRESS, session=session_id, hashed=hashed.offset, digest=hashed.digest, at=clock.now())


async def advance(tx: Transaction, session_id: str, *, hashed: Hashed, seen: str, state: str) -> bool:
    """Note the same with the store's state of the upload; False when that is not as it was `seen` any more."""
    noted = await tx.execute(
        _ADVANCE,
        session=session_id,
        seen=seen,
        to=state,
        hashed=hashed.offset,
        digest=hashed.digest,
        at=clock.now(),
    )
    return noted == 1


async def touch(tx: Transaction, ids: Sequence[str]) -> None:
    """Note that sessions are in use now, whatever else is known of them."""
    await tx.execute(_TOUCH, ids=list(ids), at=clock.now())


async def remove(tx: Transaction, ids: Sequence[str]) -> None:
    """Close sessions."""
    await tx.execute(_REMOVE, ids=list(ids))


async def idle(reader: Reader, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that received nothing since `before`, in microseconds since the epoch."""
    return [row[0] for row in await reader.all(_IDLE, before=before, limit=limit)]


async def open_of(
    reader: Reader, counted_for: str, *, since: int, most: int, most_of_addresses: int, most_in_all: int
) -> Opened:
    """Count what counts for somebody and received something since a time, all that count for addresses, and all."""
    limits = {"most": most, "most_of_addresses": most_of_addresses, "most_in_all": most_in_all}
    row = await reader.one(_OPEN, counted_for=counted_for, since=since, **limits)
    assert row is not None
    return Opened(*map(int, row))


async def oldest_empty_of(reader: Reader, counted_for: str, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that count for somebody and of which no bytes are noted, begun before a time."""
    return [row[0] for row in await reader.all(_EMPTY_OF, counted_for=counted_for, before=before, limit=limit)]


async def oldest_empty_of_addresses(reader: Reader, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that count for an address and of which no bytes are noted, begun before a time."""
    return [row[0] for row in await reader.all(_EMPTY_OF_ADDRESSES, before=before, limit=limit)]


async def idle_of_addresses(reader: Reader, *, before: int, limit: int) -> list[str]:
    """Return ids of sessions that count for an address and were last used before a time, the oldest first."""
    return [row[0] for row in await reader.all(_IDLE_OF_ADDRESSES, before=before, limit=limit)]


async def known(reader: Reader, ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that are open sessions."""
    return {row[0] for row in await reader.all(_KNOWN, ids=list(ids))}


async def states(reader: Reader, ids: Sequence[str]) -> dict[str, str]:
    """Return what the store said of those of `ids` that are open and of which it said something."""
    return {row[0]: row[1] for row in await reader.all(_STATES, ids=list(ids))} if ids else {}


async def take(tx: Transaction, ids: Sequence[str], *, before: int) -> dict[str, str | None]:
    """Close those of `ids` that received nothing since `before`; return what the store said of each."""
    return {row[0]: row[1] for row in await tx.all(_TAKE, ids=list(ids), before=before)} if ids else {}


async def end(tx: Transaction, session_id: str, *, seen: str) -> bool:
    """Close a session if the store's state of it is as it was `seen`."""
    return await tx.execute(_END, session=session_id, seen=seen) == 1
