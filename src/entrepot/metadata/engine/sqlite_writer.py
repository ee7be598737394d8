"""The writer thread of a SQLite database: queued transactions, several to a commit.

While one commit waits for the disk, the next transactions queue up. They then run one after another as savepoints
of one SQLite transaction with one commit: one that fails takes back only its own savepoint, and every caller is
answered after the commit.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from entrepot.metadata import clock
from entrepot.metadata.database import Row, Statistics, T, Transaction, Work
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.ballast import Ballast, Reserve, refusal, reserve_of
from entrepot.metadata.engine.coroutine_driver import drive, forbid_event_loop
from entrepot.metadata.engine.sqlite_connection import translate, translated
from entrepot.metadata.engine.write_gate import WriteGate
from entrepot.metadata.errors import DatabaseError, DatabaseFull, DatabaseUnavailable
from entrepot.metadata.query import Query

_log = logging.getLogger(__name__)

#: A commit takes no more transactions than this, and none after this time, so that other processes get their turn.
GROUP_SIZE: Final = 64
GROUP_SECONDS: Final = 0.02
#: A transaction that takes longer holds up every other writer and is worth a line in the log.
SLOW_SECONDS: Final = 0.05
#: On a disk that is nearly full a log longer than this is folded into the database file, for the space that it takes.
LONG_LOG_BYTES: Final = 512 * 1024


class Job:
    """A transaction in the queue and the caller that waits for it."""

    __slots__ = ("_claim", "context", "error", "future", "loop", "name", "reserve", "result", "work")

    def __init__(self, work: Work[Any], name: str) -> None:
        self.work = work
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.context: Context = copy_context()
        self.reserve = reserve_of(self.context)
        self.result: Any = None
        self.error: BaseException | None = None
        self._claim = threading.Lock()

    @property
    def title(self) -> str:
        """What the log calls the transaction."""
        return self.name or getattr(self.work, "__qualname__", "")

    def claim(self) -> bool:
        """Decide, once and for all, whether the writer runs the job or the caller has given up on it."""
        return self._claim.acquire(blocking=False)

    def settle(self) -> None:
        """Answer the caller, in its event loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class SqliteTransaction:
    """One savepoint; `Transaction` says what the methods do. None of them ever suspends."""

    __slots__ = ("_connection", "_path", "_statistics", "failure")

    def __init__(self, connection: sqlite3.Connection, path: Path, statistics: Statistics) -> None:
        self._connection = connection
        self._path = path
        self._statistics = statistics
        self.failure: DatabaseError | None = None

    async def one(self, query: Query, **parameters: object) -> Row | None:
        row: Row | None = self._run(query, parameters, sqlite3.Cursor.fetchone)
        return row

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        return self._run(query, parameters, sqlite3.Cursor.fetchall)

    async def execute(self, query: Query, **parameters: object) -> int:
        return self._run(query, parameters, _changed)

    async def many(self, query: Query, rows: Sequence[Mapping[str, object]]) -> None:
        compiled = query.compiled(SQLITE)
        named = [compiled.named(row) for row in rows]
        self._guarded(lambda: self._connection.executemany(compiled.text, named), len(named))

    async def now(self) -> int:
        return clock.now()

    def require_intact(self) -> None:
        """Raise the failure of a statement, also when the work has caught it: the transaction is lost."""
        if self.failure is not None:
            raise self.failure

    def _run(self, query: Query, parameters: Mapping[str, object], take: Callable[[sqlite3.Cursor], T]) -> T:
        compiled = query.compiled(SQLITE)
        named = compiled.named(parameters)
        return self._guarded(lambda: take(self._connection.execute(compiled.text, named)), 1)

    def _guarded(self, statement: Callable[[], T], count: int) -> T:
        self.require_intact()
        self._statistics.statements += count
        try:
            return statement()
        except sqlite3.Error as error:
            self.failure = translate(error, self._path)
            raise self.failure from error


def _changed(cursor: sqlite3.Cursor) -> int:
    # A statement with RETURNING counts its changes only when its rows are read.
    if cursor.description is not None:
        return len(cursor.fetchall())
    return cursor.rowcount


class Writer:
    """Owns the write connection; `submit` is the only method for other threads, besides `stop` and `refuse`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        before_group: Callable[[], None],
        ballast: Ballast | None,
    ) -> None:
        self._connection = connection
        self._path = path
        self.statistics = Statistics()
        self._before_group = before_group
        self._ballast = ballast
        self._refuses = False  #: what has no claim to the reserve, as so little is left
        self._gate = WriteGate(path)
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job into the queue; `job.future` gets the answer."""
        self._queue.put(job)

    def stop(self) -> None:
        """Run what is queued, then end the thread and close its connection. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        forbid_event_loop()
        while not self._stopping:
            job = self._queue.get()
            if job is None:
                break
            members: list[Job] = []
            try:
                self._group(job, members)
            except Exception as error:  # noqa: BLE001 - without the thread nobody could write any more
                _log.exception("%s: the writer goes on after an error of its own", self._path)
                _answer(members, _unforeseen(self._path, error))
            _deliver(members)
        self._connection.close()
        self._gate.close()

    def _group(self, first: Job, members: list[Job]) -> None:
        """Run the first job and those that wait, and make them members of one commit."""
        try:
            self._before_group()
            self._look_at_space(first)
            with self._gate.held(), translated(self._path):
                self._commit(self._waiting(first), members)
        except Exception as error:  # noqa: BLE001 - whatever happens, the callers get an answer
            if not members and first.claim():
                members.append(first)
            if self._fail(members, error):
                self._make_room(members)
                self._again([job for job in members if _may_have_room_now(job)])

    def _look_at_space(self, first: Job) -> None:
        """Make room for what comes, by the ballast or out of the log, and see whether all of it may be written."""
        if self._ballast is None:
            return
        self._refuses = self._ballast.admit(first.reserve)
        if self._refuses and self._log_bytes() > LONG_LOG_BYTES:
            self._cut_log()
            self._refuses = self._ballast.admit(first.reserve)

    def _log_bytes(self) -> int:
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _commit(self, jobs: Iterable[Job], members: list[Job]) -> None:
        self._connection.execute("BEGIN IMMEDIATE").close()
        for job in jobs:
            members.append(job)
            self._member(job)
        self._connection.execute("COMMIT").close()
        self.statistics.commits += 1
        self.statistics.transactions += sum(job.error is None for job in members)

    def _waiting(self, first: Job) -> Iterator[Job]:
        """Yield the jobs of this commit: the first, and those that are waiting by now or by the end of the last."""
        deadline = time.monotonic() + GROUP_SECONDS
        job: Job | None = first
        taken = 0
        while job is not None:
            if job.claim():
                taken += 1
                yield job
            job = self._next() if taken < GROUP_SIZE and time.monotonic() < deadline else None

    def _next(self) -> Job | None:
        try:
            job = self._queue.get_nowait()
        except Empty:
            return None
        self._stopping = job is None
        return job

    def _member(self, job: Job) -> None:
        if self._refuses and job.reserve is Reserve.KEPT:
            job.error = refusal(self._path.parent)
            return
        started = time.monotonic()
        self._connection.execute("SAVEPOINT member").close()
        try:
            job.result = job.context.run(self._work, job)
        except BaseException as error:  # noqa: BLE001 - it is raised again at the caller
            job.error = error
            self._take_back(error)
        self._connection.execute("RELEASE member").close()
        if time.monotonic() - started > SLOW_SECONDS:
            _log.warning("transaction %r took %.0f ms", job.title, 1000 * (time.monotonic() - started))

    def _work(self, job: Job) -> Any:
        transaction = SqliteTransaction(self._connection, self._path, self.statistics)
        try:
            result = drive(_awaited(job.work, transaction))
            transaction.require_intact()
            return result
        finally:
            transaction.failure = DatabaseError(f"transaction {job.title!r} is over")

    def _take_back(self, error: BaseException) -> None:
        # A full disk or an I/O error can end the whole transaction; then nobody's work was kept.
        if not self._connection.in_transaction:
            raise error if isinstance(error, DatabaseError) else DatabaseUnavailable(str(error))
        self._connection.execute("ROLLBACK TO member").close()

    def _fail(self, members: list[Job], error: Exception) -> bool:
        """Take all of a commit back and say so to its members; tell whether it was for want of space."""
        with suppress(sqlite3.Error):
            self._connection.rollback()
        failure = error if isinstance(error, DatabaseError) else _unforeseen(self._path, error)
        _answer(members, failure)
        return isinstance(failure, DatabaseFull)

    def _make_room(self, members: list[Job]) -> None:
        # Nobody may be left of a commit that failed before it began: its callers have given up.
        if self._ballast is not None:
            self._ballast.release_for(max((job.reserve for job in members), default=Reserve.KEPT))
        self._cut_log()

    def _again(self, members: list[Job]) -> None:
        """Run jobs once more that failed for want of space, perhaps only because of others in their commit."""
        if not members:
            return
        for job in members:
            job.error = None
        try:
            self._before_group()
            with self._gate.held(), translated(self._path):
                self._commit(members, [])
        except Exception as error:  # noqa: BLE001 - as in `_group`
            self._fail(members, error)

    def _cut_log(self) -> None:
        """Fold the log into the database file and give its space back: the next write, say a DELETE, needs some."""
        try:
            with self._gate.held():
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s: cannot fold the log into the database: %s", self._path, error)


def _may_have_room_now(job: Job) -> bool:
    return job.reserve is not Reserve.KEPT and isinstance(job.error, DatabaseFull)


def _answer(members: list[Job], error: DatabaseError) -> None:
    """Let every job fail, with its own error where it has one."""
    for job in members:
        job.result, job.error = None, job.error or error


def _unforeseen(path: Path, error: Exception) -> DatabaseUnavailable:
    failure = DatabaseUnavailable(f"{path.name}: {error}")
    failure.__cause__ = error
    return failure


async def _awaited(work: Work[Any], transaction: Transaction) -> Any:
    return await work(transaction)


def _deliver(members: list[Job]) -> None:
    for job in members:
        try:
            job.loop.call_soon_threadsafe(job.settle)
        except RuntimeError:
            _log.warning("nobody waits any more for transaction %r", job.title)
