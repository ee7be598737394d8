"""The PostgreSQL executor: asyncpg, the same protocols and the same promises as SQLite's.

Needs the extra `entrepot[postgres]`; nothing imports this module before a PostgreSQL address is configured.

    postgres              the database: questions and transactions, begun again where nothing was kept
    ├── postgres_gatherer questions that wait at the same moment go as one statement
    ├── postgres_commit   COMMIT, and what became of a lost one
    ├── postgres_checks   what a server must be set to
    ├── postgres_pool     the connections of this process
    ├── postgres_connect  one connection to the primary, and how long everything may take
    └── postgres_errors   from what the driver raises to our errors
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeVar

from entrepot.metadata.database import Reader, Row, Statistics, T, Work
from entrepot.metadata.engine import postgres_commit
from entrepot.metadata.engine.postgres_connect import REQUESTS, Connection, Connector, Limits
from entrepot.metadata.engine.postgres_errors import (
    Conflict,
    ConnectionLost,
    NoAnswer,
    OutcomeUnknown,
    Retryable,
    names_nothing,
    took_too_long,
    translated,
)
from entrepot.metadata.engine.postgres_gatherer import Gatherer
from entrepot.metadata.engine.postgres_metrics import PostgresMetrics
from entrepot.metadata.engine.postgres_pool import CLOSED, Pool
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import AwaitInsideTransaction, DatabaseError, DatabaseUnavailable, TookTooLong
from entrepot.metadata.query import Query, RawQuery
from entrepot.telemetry.instruments import Metrics

__all__ = ["Conflict", "ConnectionLost", "NoAnswer", "OutcomeUnknown", "PostgresDatabase", "PostgresTransaction"]

A = TypeVar("A")

#: How often a transaction is run that loses against another one.
ATTEMPTS: Final = 8
#: The longest pause after the first loss; it doubles with each.
PAUSE_SECONDS: Final = 0.01
#: No pause is longer.
LONGEST_PAUSE_SECONDS: Final = 1.0
#: Connections for transactions and lists, beside the two for gathered questions.
CONNECTIONS: Final = 4
#: States of a server that is no primary any more: what leads there is of no use.
_DEMOTED: Final = frozenset({"0A000", "25006", "55000"})
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ {mode}; SET LOCAL lock_timeout = {lock:.0f};"
    " SET LOCAL statement_timeout = {statement:.0f}; SET LOCAL idle_in_transaction_session_timeout = {idle:.0f}"
)


#: The server's clock, in microseconds since the epoch.
_NOW: Final = RawQuery("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)", "ask for the time")


class PostgresTransaction:
    """An open transaction; `Transaction` says what the methods do."""

    def __init__(self, connection: Connection, statistics: Statistics, deadline: float, limits: Limits) -> None:
        self._connection = connection
        self._statistics = statistics
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline
        self._longest = limits.statement + 1
        self.failure: DatabaseError | None = None
        #: Whether the database, and nothing else, is being waited for.
        self.waiting = False

    async def one(self, query: Query, **parameters: object) -> Row | None:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        record = await self._guarded(lambda limit: self._connection.fetchrow(compiled.text, *values, timeout=limit), 1)
        return None if record is None else tuple(record)

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        records = await self._guarded(lambda limit: self._connection.fetch(compiled.text, *values, timeout=limit), 1)
        return [tuple(record) for record in records]

    async def now(self) -> int:
        return _told(await self.one(_NOW))

    async def execute(self, query: Query, **parameters: object) -> int:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        status = await self._guarded(lambda limit: self._connection.execute(compiled.text, *values, timeout=limit), 1)
        return _changed(status)

    async def many(self, query: Query, rows: Sequence[Mapping[str, object]]) -> None:
        compiled = query.compiled(POSTGRESQL)
        values = [compiled.positional(row) for row in rows]
        await self._guarded(lambda limit: self._connection.executemany(compiled.text, values, timeout=limit), len(rows))

    def require_intact(self) -> None:
        """Raise the failure of a statement, also when the work has caught it: the transaction is lost."""
        if self.failure is not None:
            raise self.failure

    def left(self) -> float:
        """Return how long the next statement may take; the server's own limit comes first where it is alive."""
        return max(0.01, min(self._longest, self._deadline - self._clock()))

    async def _guarded(self, statement: Callable[[float], Awaitable[A]], count: int) -> A:
        self.require_intact()
        self._statistics.statements += count
        self.waiting = True
        try:
            with translated(writing=True):
                return await statement(self.left())
        except DatabaseError as error:
            self.failure = error
            raise
        finally:
            self.waiting = False


class PostgresDatabase:
    """A database server; the protocol `Database` says what the methods do."""

    dialect: Final = "postgresql"

    def __init__(self, pool: Pool, limits: Limits, metrics: PostgresMetrics) -> None:
        self._pool = pool
        self._limits = limits
        self._metrics = metrics
        self._begin = _begin(limits, "WRITE")
        self._writes = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._statistics = Statistics()
        self._patient = _PatientReader(self)
        self._gatherer = Gatherer(pool, limits, metrics, self._statistics)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        connections: int = CONNECTIONS,
        limits: Limits = REQUESTS,
        metrics: Metrics | None = None,
    ) -> Self:
        """Connect to `postgresql://…`.

        Args:
            url: The address; several hosts are divided by commas, and the primary among them is used.
            connections: For transactions and lists, at most.
            limits: How long everything may take.
            metrics: What is counted.

        Raises:
            DatabaseError: The address cannot be read.
            DatabaseUnavailable: Nobody answers there, or refuses.
            UnsuitableDatabase: A pooler stands before the server and is not set up for this.
        """
        counted = PostgresMetrics(metrics or Metrics())
        connector = Connector(url, seconds=limits.connect)
        pool = Pool(connector, connections, counted)
        pool.keep(await connector.connect())
        return cls(pool, limits, counted)

    @property
    def statistics(self) -> Statistics:
        return replace(self._statistics)

    async def one(self, query: Query, **parameters: object) -> Row | None:
        try:
            if query.recalled:
                return await self._gatherer.ask(query, parameters)
            compiled = query.compiled(POSTGRESQL)
            values = compiled.positional(parameters)
            record = await self._ask(lambda c, limit: c.fetchrow(compiled.text, *values, timeout=limit))
        except DatabaseError as error:
            if names_nothing(error):
                return None
            raise
        return None if record is None else tuple(record)

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        try:
            records = await self._ask(lambda c, limit: c.fetch(compiled.text, *values, timeout=limit))
        except DatabaseError as error:
            if names_nothing(error):
                return []
            raise
        return [tuple(record) for record in records]

    async def now(self) -> int:
        return _told(await self.one(_NOW))

    def moment(self) -> bytes | None:
        return None

    def patient(self) -> Reader:
        """Return another way of asking, for questions that may take a while; the server ends those that take longer."""
        return self._patient

    async def write(self, work: Work[T], *, name: str = "") -> T:
        if self._closed:
            raise DatabaseUnavailable(CLOSED)
        self._writes += 1
        try:
            return await self._persist(work, name)
        finally:
            self._writes -= 1
            if self._writes == 0:
                self._idle.set()

    async def close(self) -> None:
        self._closed = True
        while self._writes:
            self._idle.clear()
            await self._idle.wait()
        await self._gatherer.close()
        await self._pool.close()

    async def in_one_reading(self, question: Callable[[Connection, float], Awaitable[A]]) -> A:
        """Ask within a read-only transaction, whose statements the server ends in time."""
        seconds = self._limits.question

        async def ask(connection: Connection, limit: float) -> A:
            await connection.execute(_begin(replace(self._limits, statement=seconds), "ONLY"), timeout=limit)
            answer = await question(connection, limit + 1)
            await connection.execute("COMMIT", timeout=limit)
            return answer

        return await self._ask(ask)

    async def _ask(self, question: Callable[[Connection, float], Awaitable[A]]) -> A:
        """Ask, again where a connection was lost: a question changes nothing."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._statistics.statements += 1
        for attempt in range(ATTEMPTS):
            try:
                return await self._ask_once(question, began)
            except Retryable as error:
                if clock() >= began + self._limits.answer or attempt == ATTEMPTS - 1:
                    raise
                await self._pause(error, attempt)
        raise AssertionError  # the loop returns or raises

    async def _ask_once(self, question: Callable[[Connection, float], Awaitable[A]], began: float) -> A:
        connection = await self._pool.acquire(began + self._limits.answer)
        clean = False
        try:
            left = began + self._limits.question - asyncio.get_running_loop().time()
            with translated():
                answer = await question(connection, max(0.01, left))
            clean = True
        except NoAnswer:
            self._pool.distrust()
            raise
        finally:
            self._pool.release(connection, clean=clean)
        return answer

    async def _persist(self, work: Work[T], name: str) -> T:
        began = asyncio.get_running_loop().time()
        for attempt in range(ATTEMPTS):
            try:
                return await self._attempt(work, name, began)
            except Retryable as error:
                if attempt == ATTEMPTS - 1 or asyncio.get_running_loop().time() >= began + self._limits.answer:
                    raise
                await self._pause(error, attempt)
        raise AssertionError  # the loop returns or raises

    async def _pause(self, error: Retryable, attempt: int) -> None:
        self._metrics.retried(error.state)
        # Jitter against meeting the same opponent again, not a secret.
        longest = min(PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311

    async def _attempt(self, work: Work[T], name: str, began: float) -> T:
        connection = await self._pool.acquire(began + self._limits.answer)
        clean = False
        try:
            result = await self._transact(connection, work, name, began + self._limits.transaction)
            clean = True
        except NoAnswer:
            self._pool.distrust()
            raise
        except ConnectionLost as error:
            if error.state in _DEMOTED:
                self._pool.distrust()
            raise
        finally:
            # An open transaction ends there, and its locks with it.
            self._pool.release(connection, clean=clean)
        return result

    async def _transact(self, connection: Connection, work: Work[T], name: str, deadline: float) -> T:
        transaction = PostgresTransaction(connection, self._statistics, deadline, self._limits)
        try:
            with translated(writing=True):
                await connection.execute(self._begin, timeout=transaction.left())
            result: T = await _Watched(work, transaction)
            transaction.require_intact()
            called = await postgres_commit.note(connection, transaction.left())
        finally:
            transaction.failure = DatabaseError(f"transaction {name!r} is over")
        try:
            await postgres_commit.commit(connection)
        except ConnectionLost:
            if called.xid is None:
                raise
            outcome = await postgres_commit.look_up(self._pool.connector, called, deadline)
            self._metrics.unknown_commit(outcome.value)
            postgres_commit.raise_for(outcome)
        self._statistics.transactions += 1
        self._statistics.commits += 1
        return result


class _PatientReader:
    """Asks questions that may take a while."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def one(self, query: Query, **parameters: object) -> Row | None:
        rows = await self.all(query, **parameters)
        return rows[0] if rows else None

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        """See `Reader`.

        Raises:
            TookTooLong: The answer is not there in time.
        """
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        try:
            records = await self._database.in_one_reading(
                lambda connection, limit: connection.fetch(compiled.text, *values, timeout=limit)
            )
        except DatabaseError as error:
            if took_too_long(error):
                raise TookTooLong from error
            if names_nothing(error):
                return []
            raise
        return [tuple(record) for record in records]

    async def now(self) -> int:
        """See `Reader`."""
        return await self._database.now()


class _Watched:
    """Awaits a transaction's work and sees to it that only the database is waited for."""

    def __init__(self, work: Work[Any], transaction: PostgresTransaction) -> None:
        self._work = work
        self._transaction = transaction

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Generator[Any, Any, Any] = self._work(self._transaction).__await__()
        resume: Callable[[], Any] = steps.__next__
        while True:
            try:
                waiting_for = resume()
                if not self._transaction.waiting:
                    self._transaction.failure = AwaitInsideTransaction()
                    steps.throw(self._transaction.failure)
                    raise self._transaction.failure
            except StopIteration as done:
                return done.value
            try:
                answer = yield waiting_for
            except BaseException as error:  # noqa: BLE001 - a cancellation goes to where the work waits
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)


def _begin(limits: Limits, mode: str) -> str:
    """Begin a transaction; its limits go with it, since behind a pooler a session is nobody's own."""
    milliseconds = {"lock": limits.lock * 1000, "statement": limits.statement * 1000, "idle": limits.idle * 1000}
    return _BEGIN.format(mode=mode, **milliseconds)


def _told(row: Row | None) -> int:
    assert row is not None  # it has no condition
    return int(row[0])


def _changed(status: str) -> int:
    """Read the count at the end of a command's status, as in "UPDATE 3"."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0
