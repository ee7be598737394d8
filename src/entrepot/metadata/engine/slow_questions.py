"""Questions that may take a while: lists that people search and sort, figures over everything.

SQLite would answer them on the event loop, where every pull waits meanwhile. So they are asked on connections of their
own, in threads, and are broken off when they take too long, or when nobody waits for the answer any more.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar, runtime_checkable

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.sqlite_connection import connect_reader, translate
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.query import Compiled, Query

T = TypeVar("T")

#: Questions asked at the same time; more wait for their turn.
THREADS: Final = 2
#: After this a question is broken off.
LONGEST_SECONDS: Final = 5.0
#: Steps of SQLite's machine between two looks at the clock: a few milliseconds.
_STEPS: Final = 100_000


@runtime_checkable
class HasPatience(Protocol):
    """A database whose quick way of asking must not be held up."""

    def patient(self) -> Reader:
        """Return another way of asking, for questions that may take a while."""
        ...


def patient(reader: Reader) -> Reader:
    """Return how to ask a question that may take a while; within a transaction that is the transaction itself."""
    return reader.patient() if isinstance(reader, HasPatience) else reader


class PatientReader:
    """Asks a SQLite file in threads."""

    def __init__(self, path: Path, *, seconds: float = LONGEST_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lists")
        self._idle: list[sqlite3.Connection] = []
        self.asked = 0  #: statements run so far

    async def one(self, query: Query, **parameters: object) -> Row | None:
        """See `Reader`.

        Raises:
            TookTooLong: The answer is not there in time.
        """
        return await self._run(query, parameters, lambda cursor: cursor.fetchone())

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        """See `Reader`.

        Raises:
            TookTooLong: The answer is not there in time.
        """
        return await self._run(query, parameters, lambda cursor: cursor.fetchall())

    async def now(self) -> int:
        """See `Reader`."""
        return clock.now()

    async def _run(self, query: Query, parameters: dict[str, object], fetch: Callable[[sqlite3.Cursor], T]) -> T:
        compiled = query.compiled(SQLITE)
        self.asked += 1
        given_up = threading.Event()
        ask = partial(self._ask, compiled, parameters, fetch, given_up)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        finally:
            given_up.set()  # where nobody waits for the answer any more, the thread is free for other questions

    def _ask(
        self,
        compiled: Compiled,
        parameters: dict[str, object],
        fetch: Callable[[sqlite3.Cursor], T],
        given_up: threading.Event,
    ) -> T:
        connection = self._taken()
        deadline = time.monotonic() + self._seconds
        connection.set_progress_handler(lambda: given_up.is_set() or time.monotonic() > deadline, _STEPS)
        try:
            return fetch(connection.execute(compiled.text, compiled.named(parameters)))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise TookTooLong from error
            raise translate(error, self._path) from error
        finally:
            connection.set_progress_handler(None, 0)
            self._idle.append(connection)

    def _taken(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return connect_reader(self._path)

    def close(self) -> None:
        """Wait for what is being asked, and let go of the file."""
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().close()
