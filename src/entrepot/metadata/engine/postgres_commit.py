"""COMMIT, and what became of one whose connection was lost: looked up, never guessed.

Before COMMIT a transaction notes its id (xid) and which run of which server gave it. When the answer to COMMIT is lost,
the primary is asked on a new connection what became of that id (`pg_xact_status`). An id counts only within one run: a
server that crashed, or a standby that was promoted, may give the ids anew that its log does not know of. "Aborted" is
true all the same, since either the transaction was, or another one could get its id because it left no trace.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import asyncpg

from entrepot.metadata.engine.postgres_connect import Connection, Connector
from entrepot.metadata.engine.postgres_errors import (
    ConnectionLost,
    NoAnswer,
    OutcomeUnknown,
    Retryable,
    translated,
)
from entrepot.metadata.engine.postgres_pool import connect_until
from entrepot.metadata.errors import DatabaseError

#: How long COMMIT may take before its connection is given up; a standby may have to answer first.
COMMIT_SECONDS: Final = 3.0
#: How long a lost commit is looked up, at least.
_LOOK_UP_SECONDS: Final = 3.0
#: One question of it.
_QUESTION_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.1
#: Which run of which server: its statistics begin anew after each crash, and are each server's own; a promotion begins
#: a new timeline.
_RUN: Final = (
    "concat(pg_catalog.pg_stat_get_bgwriter_stat_reset_time(), ' ',"
    " substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))"
)
#: A statement that is broken off while COMMIT waits for a standby would look like success.
_NOTE: Final = (
    "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text,"
    f" {_RUN}, pg_catalog.set_config('statement_timeout', '0', true)"
)
_STATUS: Final = f"SELECT pg_catalog.pg_xact_status($1::text::pg_catalog.xid8), {_RUN}"
#: Ends what waits for a COMMIT that will not come, or for a standby that does not answer.
_END: Final = (
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
    " WHERE backend_xid = pg_catalog.xid($1::text::pg_catalog.xid8)"
)
#: Looks before that is done.
_LOOKS: Final = 5
#: Durable as any commit, where one has to be on a standby too, and so is every commit before it.
_BARRIER: Final = "BEGIN READ WRITE; SELECT pg_catalog.pg_logical_emit_message(true, 'entrepot', ''); COMMIT"


class Outcome(Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Note:
    """What a transaction is called, and where."""

    xid: str | None  #: None when it has written nothing
    run: str


async def note(connection: Connection, seconds: float) -> Note:
    """Note how a transaction is called, right before its COMMIT."""
    with translated(writing=True):
        row: Any = await connection.fetchrow(_NOTE, timeout=seconds)
    return Note(row[0], row[1])


async def commit(connection: Connection) -> None:
    """Commit.

    A caller that is cancelled meanwhile waits for the end: the driver would ask the server to break the statement off.

    Raises:
        DatabaseError: The server has refused, and kept nothing.
        ConnectionLost: The connection ended before the answer.
    """
    task = asyncio.get_running_loop().create_task(_commit(connection))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


async def _commit(connection: Connection) -> None:
    watchdog = asyncio.get_running_loop().call_later(COMMIT_SECONDS, connection.terminate)
    try:
        with translated(writing=True):
            status = await connection.execute("COMMIT")
    finally:
        watchdog.cancel()
    if status != "COMMIT":
        raise DatabaseError(f"PostgreSQL: the transaction was rolled back: {status}")


async def look_up(connector: Connector, wanted: Note, deadline: float) -> Outcome:
    """Find out what became of a transaction whose connection ended in COMMIT.

    Args:
        connector: Leads to the primary.
        wanted: The transaction.
        deadline: Until when to look while it is in progress or nobody answers, by the clock of the loop; a few
            seconds at least.
    """
    loop = asyncio.get_running_loop()
    deadline = max(deadline, loop.time() + _LOOK_UP_SECONDS)
    for look in itertools.count():
        try:
            connection = await connect_until(connector, deadline)
            try:
                outcome = await _ask(connection, wanted, end=look >= _LOOKS)
            finally:
                connection.terminate()
        except (Retryable, NoAnswer):
            outcome = None
        except DatabaseError:
            return Outcome.UNKNOWN
        if outcome is not None:
            return outcome
        if loop.time() + _PAUSE_SECONDS >= deadline:
            return Outcome.UNKNOWN
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError  # the loop returns


async def _ask(connection: Connection, wanted: Note, *, end: bool) -> Outcome | None:
    """Ask once; None while the transaction is in progress."""
    with translated():
        try:
            status, run = await connection.fetchrow(_STATUS, wanted.xid, timeout=_QUESTION_SECONDS)
        except asyncpg.InvalidParameterValueError:  # an id of the future: what had it is not in the log
            return Outcome.ABORTED
        if status == "in progress":
            if end and run == wanted.run:
                await connection.fetch(_END, wanted.xid, timeout=_QUESTION_SECONDS)
            return None
        if status == "aborted":
            return Outcome.ABORTED
        if status != "committed" or run != wanted.run:
            return Outcome.UNKNOWN
        # Its own wait for a standby may have been broken off.
        await connection.execute(_BARRIER, timeout=_QUESTION_SECONDS)
    return Outcome.COMMITTED


def raise_for(outcome: Outcome) -> None:
    """Raise what an outcome means for who waits for the commit; nothing for one that was kept."""
    if outcome is Outcome.ABORTED:
        raise ConnectionLost("PostgreSQL: the connection ended before the commit", "lost commit")
    if outcome is Outcome.UNKNOWN:
        raise OutcomeUnknown(
            "PostgreSQL: the connection ended during a commit, and the server does not say whether it was kept;"
            " look before you do it again"
        )
