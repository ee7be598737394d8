"""Locks of all processes of a registry, on any machines: `registry.locks.Locks` by PostgreSQL's advisory locks.

A lock belongs to a connection that each process keeps, straight to the server: a pooler would lend it to others. The
server gives the lock back when the process dies; while that merely stands still, its kernel answers for the connection.

Where the way to the server is cut, both ends have to find out, and the holder first: it asks every two seconds and is
interrupted (`LockLost`) when there is no answer for four more; the server gives the lock to somebody else once nothing
of the holder has been heard for fifteen. What is deleted under a lock is also compared in the database right before.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import asyncpg

from entrepot.metadata.engine.postgres_connect import Connection, Connector
from entrepot.metadata.engine.postgres_errors import translated
from entrepot.metadata.errors import DatabaseUnavailable, LockLost, UnsuitableDatabase

T = TypeVar("T")

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5.0
#: Between two tries to take a lock that somebody has, in seconds, the shortest and the longest.
_POLL: Final = (0.05, 0.5)
#: Between two questions whether the server still knows of us, and how long its answer may take.
_PULSE_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 4.0
#: The server has given up on a host from which nothing has come for this long: 5 + 5 * 2 seconds.
_SESSION: Final = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2;"
    " SET tcp_user_timeout = 15000; SET idle_session_timeout = 0; SET application_name = 'entrepot locks'"
)


class PostgresLocks:
    """The locks of the processes that share a database; `Locks` says what the methods do."""

    def __init__(self, url: str) -> None:
        """Keep the address; nothing connects before a lock is asked for.

        Args:
            url: Of the server itself, with no pooler before it.
        """
        self._connector = Connector(url, seconds=_CONNECT_SECONDS)
        self._session: _Session | None = None
        self._connecting = asyncio.Lock()
        self._inside: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, name: str, *, patience: float | None = None) -> AsyncIterator[None]:
        """Wait for the turn, and keep it during the block.

        Raises:
            TimeoutError: Somebody else kept it for longer than `patience`, in seconds.
            LockLost: The server is out of reach, and may have given the turn to somebody else; raised within the
                block, wherever it waits.
            DatabaseUnavailable: The server does not answer.
            UnsuitableDatabase: A pooler answers.
        """
        key, inside = f"turn {name}", self._inside.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(patience) as limit:
                await inside.acquire()
                try:
                    session = await self._taken(key)
                except BaseException:
                    inside.release()
                    raise
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"another process has held {name} for {patience:.0f} s; is an entrepot process stopped?"
            raise TimeoutError(message) from None
        try:
            async with session.holding(key, name):
                yield
        finally:
            inside.release()

    @asynccontextmanager
    async def claim(self, name: str) -> AsyncIterator[bool]:
        """Claim something for the time of the block, without waiting; False when somebody else has it.

        Raises:
            LockLost, DatabaseUnavailable, UnsuitableDatabase: As `turn` does.
        """
        key = f"claim {name}"
        session = await self._connected()
        if session.has(key) or not await session.take(key):
            yield False
            return
        async with session.holding(key, name):
            yield True

    async def drop_claims(self) -> None:
        """Do nothing: the server forgets a lock that nobody has."""

    async def close(self) -> None:
        """Give back all locks."""
        if self._session is not None:
            await self._session.close()

    async def _taken(self, key: str) -> _Session:
        """Try until the lock is ours."""
        pause, longest = _POLL
        while True:
            session = await self._connected()
            if await session.take(key):
                return session
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads the tries of many
            pause = min(pause * 1.5, longest)

    async def _connected(self) -> _Session:
        async with self._connecting:
            if self._session is None or self._session.is_lost:
                self._session = await _Session.open(self._connector)
            return self._session


class _Session:
    """One connection, the locks that it has, and who is to be told when it ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._one_question = asyncio.Lock()
        self._leashes: dict[str, asyncio.Timeout | None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pulse = asyncio.create_task(self._keep_asking())
        connection.add_termination_listener(self._ended)

    @classmethod
    async def open(cls, connector: Connector) -> _Session:
        connection = await connector.connect()
        try:
            with translated():
                await _prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return cls(connection)

    @property
    def is_lost(self) -> bool:
        """Whether the server cannot be asked any more, and gives the locks to others."""
        return bool(self._connection.is_closed())

    def has(self, key: str) -> bool:
        """Tell whether this process has a lock, which the server would give to it a second time."""
        return key in self._leashes

    async def take(self, key: str) -> bool:
        """Take a lock if nobody has it; one that comes when its caller has stopped waiting is given back."""
        if self.has(key):
            return False
        self._leashes[key] = None
        trying = self._begun(self._try(key))
        try:
            return await asyncio.shield(trying)
        except asyncio.CancelledError:
            _ = self._begun(self._undo(trying, key))
            raise

    async def _try(self, key: str) -> bool:
        taken = False
        try:
            taken = bool(await self._ask("SELECT pg_try_advisory_lock($1)", _number(key)))
        finally:
            if not taken:
                self._leashes.pop(key, None)
        return taken

    async def _undo(self, trying: asyncio.Task[bool], key: str) -> None:
        with suppress(DatabaseUnavailable):
            if await trying:
                await self._give_back(key)

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that goes on whatever becomes of the caller."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @asynccontextmanager
    async def holding(self, key: str, name: str) -> AsyncIterator[None]:
        """Keep a lock that was taken during the block, and interrupt the block when the connection ends."""
        try:
            async with asyncio.timeout(None) as leash:
                self._leashes[key] = leash
                if self.is_lost:
                    raise LockLost(name)
                yield
        except TimeoutError:
            if leash.expired():
                raise LockLost(name) from None
            raise
        finally:
            with suppress(DatabaseUnavailable):
                await asyncio.shield(self._begun(self._give_back(key)))

    async def close(self) -> None:
        """End the connection, and all locks with it."""
        self._pulse.cancel()
        await asyncio.gather(self._pulse, *self._tasks, return_exceptions=True)
        self._leashes.clear()
        self._connection.terminate()

    async def _give_back(self, key: str) -> None:
        try:
            await self._ask("SELECT pg_advisory_unlock($1)", _number(key))
        finally:
            self._leashes.pop(key, None)

    async def _ask(self, question: str, *values: object) -> object:
        """Ask; when there is no answer in time, the connection and its locks are over."""
        try:
            async with self._one_question:
                with translated():
                    return await self._connection.fetchval(question, *values, timeout=_ANSWER_SECONDS)
        except DatabaseUnavailable:
            self._connection.terminate()
            raise

    async def _keep_asking(self) -> None:
        while not self.is_lost:
            await asyncio.sleep(_PULSE_SECONDS)
            with suppress(DatabaseUnavailable):
                await self._ask("SELECT 1")

    def _ended(self, _connection: asyncpg.Connection) -> None:
        """Interrupt everybody who holds a lock."""
        held = [leash for leash in self._leashes.values() if leash is not None]
        if held:
            _log.error("the connection that holds %d locks has ended; what is done under them is broken off", len(held))
        now = asyncio.get_running_loop().time()
        for leash in held:
            with suppress(RuntimeError):  # that block is at its end already
                leash.reschedule(now)


async def _prepare(connection: Connection) -> None:
    await connection.execute(_SESSION, timeout=_ANSWER_SECONDS)
    behind = await connection.fetchval("SELECT pg_backend_pid()", timeout=_ANSWER_SECONDS)
    if behind != connection.get_server_pid():
        raise UnsuitableDatabase(
            "PostgreSQL: locks cannot be kept through a pooler; give the server's own address as metadata.directurl"
        )


def _number(key: str) -> int:
    """Return a lock's number; two names that share one would wait for each other, which does no harm."""
    return int.from_bytes(hashlib.blake2b(f"entrepot {key}".encode(), digest_size=8).digest(), "big", signed=True)
