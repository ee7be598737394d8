"""The SQLite executor: reads on the event loop, writes in one thread per process."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Statistics, T, Work
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.ballast import Ballast
from entrepot.metadata.engine.slow_questions import PatientReader
from entrepot.metadata.engine.sqlite_connection import Durability, connect_reader, connect_writer, translate
from entrepot.metadata.engine.sqlite_row_cache import Recall
from entrepot.metadata.engine.sqlite_writer import Job, Writer
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable
from entrepot.metadata.query import Query

#: How long a caller waits for its transaction to begin. Only a stopped process or a dying disk takes as long.
QUEUE_SECONDS: Final = 30.0


class SqliteDatabase:
    """A database file, opened by one process; the protocol `Database` says what the methods do.

    `one` and `all` run at once, on the event loop: a point query takes a few microseconds, and handing it to a
    thread would take many times as long. They never suspend.
    """

    dialect: Final = "sqlite"

    def __init__(
        self,
        path: Path,
        durability: Durability = Durability.FULL,
        *,
        before_group: Callable[[], None] = lambda: None,
        ballast: Ballast | None = None,
    ) -> None:
        """Open the database, and create an empty one when there is none.

        Args:
            path: The database file; its log and its locks lie beside it.
            durability: Whether a commit waits for the disk.
            before_group: Called in the writer thread before each commit is begun; its DatabaseError fails the commit.
            ballast: What is put aside for a full disk, which each commit looks after.

        Raises:
            DatabaseUnavailable: The file cannot be opened.
        """
        self.path = path
        self._asked = 0
        self._closed = False
        self._recall = Recall(path)
        self._patient = PatientReader(path)
        with ExitStack() as stack:
            writing = stack.enter_context(closing(connect_writer(path, durability)))
            self._reading = stack.enter_context(closing(connect_reader(path)))
            self._writer = Writer(writing, path, before_group, ballast)
            stack.pop_all()

    @property
    def statistics(self) -> Statistics:
        # Two threads count, each for itself: no count is lost between them.
        done = self._writer.statistics
        return replace(done, statements=done.statements + self._asked + self._patient.asked)

    async def one(self, query: Query, **parameters: object) -> Row | None:
        if not query.recalled:
            return self._one(query, parameters)
        key = (query.name, *parameters.values())
        row = self._recall.find(key)
        if row is None:
            row = self._one(query, parameters)
            if row is not None:
                self._recall.keep(key, row)
        return row

    def _one(self, query: Query, parameters: Mapping[str, object]) -> Row | None:
        compiled = query.compiled(SQLITE)
        self._asked += 1
        try:
            row: Row | None = self._reading.execute(compiled.text, compiled.named(parameters)).fetchone()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return row

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        compiled = query.compiled(SQLITE)
        self._asked += 1
        try:
            return self._reading.execute(compiled.text, compiled.named(parameters)).fetchall()
        except sqlite3.Error as error:
            raise self._translated(error) from error

    async def now(self) -> int:
        return clock.now()

    def moment(self) -> bytes | None:
        return self._recall.moment()

    def patient(self) -> Reader:
        """Return another way of asking, for questions that would hold up the event loop."""
        if self._closed:
            raise self._closed_error()
        return self._patient

    async def write(self, work: Work[T], *, name: str = "") -> T:
        if self._closed:
            raise self._closed_error()
        job = Job(work, name)
        self._writer.submit(job)
        timer = job.loop.call_later(QUEUE_SECONDS, self._give_up, job)
        try:
            result: T = await job.future
        except asyncio.CancelledError:
            job.claim()
            raise
        finally:
            timer.cancel()
        return result

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._recall.close()
            await asyncio.to_thread(self._patient.close)
            # The reader goes first, so that the writer is the last and folds the log into the database file.
            self._reading.close()
            await asyncio.to_thread(self._writer.stop)

    def _give_up(self, job: Job) -> None:
        if job.claim():
            job.error = DatabaseUnavailable(
                f"{self.path.name}: waited {QUEUE_SECONDS:.0f} s for the write lock; is an entrepot process stopped?"
            )
            job.settle()

    def _translated(self, error: sqlite3.Error) -> DatabaseError:
        return self._closed_error() if self._closed else translate(error, self.path)

    def _closed_error(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(f"{self.path.name} is closed")
