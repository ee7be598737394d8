"""The PostgreSQL executor: asyncpg, the same protocols and the same promises as SQLite's.

Needs the extra `entrepot[postgres]`; nothing imports this module before a PostgreSQL address is configured.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeVar

import asyncpg

from entrepot.metadata.database import Row, Statistics, T, Work
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import (
    AwaitInsideTransaction,
    ConstraintViolated,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
)
from entrepot.metadata.query import Query

A = TypeVar("A")

#: How often a transaction is run that loses against another one.
ATTEMPTS: Final = 8
#: The longest pause after the first loss; it doubles with each.
PAUSE_SECONDS: Final = 0.01
CONNECT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 60.0
#: Statements kept prepared per connection, more than the project has.
PREPARED: Final = 512
#: A statement outside a transaction must not write, here as on SQLite; `write` says READ WRITE.
_SESSION: Final = {"default_transaction_read_only": "on", "timezone": "UTC", "application_name": "entrepot"}
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """A connection that costs no extra round trip when it goes back to the pool: transactions end themselves."""

    def get_reset_query(self) -> str:
        return ""


class PostgresTransaction:
    """An open transaction; `Transaction` says what the methods do."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]", statistics: Statistics) -> None:
        self._connection = connection
        self._statistics = statistics
        self.failure: DatabaseError | None = None
        #: Whether the database, and nothing else, is being waited for.
        self.waiting = False

    async def one(self, query: Query, **parameters: object) -> Row | None:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        record = await self._guarded(lambda: self._connection.fetchrow(compiled.text, *values), 1)
        return None if record is None else tuple(record)

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        records = await self._guarded(lambda: self._connection.fetch(compiled.text, *values), 1)
        return [tuple(record) for record in records]

    async def execute(self, query: Query, **parameters: object) -> int:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        status = await self._guarded(lambda: self._connection.execute(compiled.text, *values), 1)
        return _changed(status)

    async def many(self, query: Query, rows: Sequence[Mapping[str, object]]) -> None:
        compiled = query.compiled(POSTGRESQL)
        values = [compiled.positional(row) for row in rows]
        await self._guarded(lambda: self._connection.executemany(compiled.text, values), len(rows))

    def require_intact(self) -> None:
        """Raise the failure of a statement, also when the work has caught it: the transaction is lost."""
        if self.failure is not None:
            raise self.failure

    async def _guarded(self, statement: Callable[[], Awaitable[A]], count: int) -> A:
        self.require_intact()
        self._statistics.statements += count
        self.waiting = True
        try:
            with translated():
                return await statement()
        except DatabaseError as error:
            self.failure = error
            raise
        finally:
            self.waiting = False


class PostgresDatabase:
    """A database server; the protocol `Database` says what the methods do."""

    dialect: Final = "postgresql"

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._writes = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._statistics = Statistics()

    @classmethod
    async def open(cls, url: str, *, connections: int = 10) -> Self:
        """Connect to `postgresql://…`.

        Raises:
            DatabaseUnavailable: Nobody answers there, or refuses.
        """
        with translated():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=connections,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                statement_cache_size=PREPARED,
                server_settings=_SESSION,
                connection_class=_Connection,
            )
        return cls(pool)

    @property
    def statistics(self) -> Statistics:
        return replace(self._statistics)

    async def one(self, query: Query, **parameters: object) -> Row | None:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        self._statistics.statements += 1
        with translated():
            record = await self._pool.fetchrow(compiled.text, *values)
        return None if record is None else tuple(record)

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        self._statistics.statements += 1
        with translated():
            records = await self._pool.fetch(compiled.text, *values)
        return [tuple(record) for record in records]

    def moment(self) -> bytes | None:
        return None

    async def write(self, work: Work[T], *, name: str = "") -> T:
        if self._closed:
            raise DatabaseUnavailable("PostgreSQL: this process has closed its connections")
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
        with translated():
            await self._pool.close()

    async def _persist(self, work: Work[T], name: str) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return await self._attempt(work, name)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                # Jitter against meeting the same opponent again, not a secret.
                await asyncio.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))  # noqa: S311
        raise AssertionError  # the loop returns or raises

    async def _attempt(self, work: Work[T], name: str) -> T:
        with translated():
            connection = await self._pool.acquire()
        try:
            return await self._transact(connection, work, name)
        finally:
            with suppress(DatabaseUnavailable), translated():
                await self._pool.release(connection)

    async def _transact(self, connection: "asyncpg.pool.PoolConnectionProxy[Any]", work: Work[T], name: str) -> T:
        transaction = PostgresTransaction(connection, self._statistics)
        with translated():
            await connection.execute(_BEGIN)
        try:
            result: T = await _Watched(work, transaction)
            transaction.require_intact()
        except BaseException:
            with suppress(DatabaseUnavailable), translated():
                await connection.execute("ROLLBACK")
            raise
        finally:
            transaction.failure = DatabaseError(f"transaction {name!r} is over")
        with translated():
            await connection.execute("COMMIT")
        self._statistics.transactions += 1
        self._statistics.commits += 1
        return result


class Conflict(DatabaseUnavailable):
    """Other transactions were in the way, again and again."""


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


def _changed(status: str) -> int:
    """Read the count at the end of a command's status, as in "UPDATE 3"."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into the errors of this package."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _translate(error) from error
    except (asyncpg.InterfaceError, OSError) as error:
        wrong_use = isinstance(error, ValueError | TypeError)
        raise (DatabaseError if wrong_use else DatabaseUnavailable)(f"PostgreSQL: {error}") from error


def _translate(error: asyncpg.PostgresError) -> DatabaseError:
    state = error.sqlstate or ""
    kind = next((kind for prefix, kind in _KINDS.items() if state.startswith(prefix)), DatabaseError)
    # Only the message: the detail quotes the row's values, and some are secrets.
    return kind(f"PostgreSQL: {error.args[0]} ({state})")


#: By SQLSTATE or its class; the first that fits.
_KINDS: Final[Mapping[str, type[DatabaseError]]] = {
    "40": Conflict,
    "23": ConstraintViolated,
    "53100": DatabaseFull,
    "08": DatabaseUnavailable,
    "28": DatabaseUnavailable,
    "3D": DatabaseUnavailable,
    "53": DatabaseUnavailable,
    "57P": DatabaseUnavailable,
    "58": DatabaseUnavailable,
}
