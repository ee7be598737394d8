"""The connections of one process that are shared.

A connection that anything is unclear about is not lent again: it says that it is free within two seconds, or it is cut.
One that fell silent, or that leads to a server which is no primary any more, makes all others suspect: those are
replaced. So a process is whole again as soon as the server is, and nobody waits for a connection that is dead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from entrepot.metadata.engine.postgres_connect import Connection, Connector
from entrepot.metadata.engine.postgres_errors import ConnectionLost, NoAnswer, translated
from entrepot.metadata.engine.postgres_metrics import PostgresMetrics
from entrepot.metadata.errors import DatabaseUnavailable

#: An interrupted connection has so long to say that it is free.
_RECOVERY_SECONDS: Final = 2.0
#: One that nobody used for so long is not trusted: firewalls forget connections, and tell nobody.
_IDLE_SECONDS: Final = 300.0
#: The pauses between attempts to connect while nobody answers, the first and the longest.
_PAUSES: Final = (0.05, 0.5)
CLOSED: Final = "PostgreSQL: this process has closed its connections"


class Pool:
    """Lends connections, in the order of asking."""

    def __init__(self, connector: Connector, most: int, metrics: PostgresMetrics) -> None:
        self.connector = connector
        self.generation = 0
        self.closed = False
        self._most = most
        self._metrics = metrics
        self._count = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, connection: Connection) -> None:
        """Take a connection that was made elsewhere."""
        self._count += 1
        self._metrics.connections(self._count)
        connection.generation = self.generation
        self._lend(connection)

    async def acquire(self, deadline: float) -> Connection:
        """Lend a connection; the caller gives it back with `release`.

        Args:
            deadline: Until when to wait, by the clock of the loop.

        Raises:
            DatabaseUnavailable: None was free, or none could be made, in time.
        """
        began = _now()
        if self.closed:
            raise DatabaseUnavailable(CLOSED)
        connection = None if self._waiting else self._take()
        if connection is None:
            connection = await self._wait(deadline)
        self._metrics.waited(_now() - began)
        return connection

    def release(self, connection: Connection, *, clean: bool) -> None:
        """Take a connection back; `clean` when its last statement ended as it should, and no transaction is open."""
        if connection.is_closed() or connection.generation != self.generation or self.closed:
            self._cut(connection)
        elif clean:
            self._lend(connection)
        else:
            self._start(self._recover(connection))

    def distrust(self) -> None:
        """Replace all connections: those that are idle now, those that are lent when they come back."""
        self.generation += 1
        while self._idle:
            self._cut(self._idle.pop())

    async def close(self) -> None:
        """Close what is idle, and whatever comes back from now on."""
        self.closed = True
        while self._waiting:
            _settle(self._waiting.popleft(), None)
        idle, self._idle = self._idle, []
        self._count -= len(idle)
        for connection in idle:
            self._start(_farewell(connection))
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._metrics.connections(self._count)

    def _take(self) -> Connection | None:
        """Return an idle connection, the one that was used last."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed() and _now() - connection.idle_since < _IDLE_SECONDS:
                return connection
            self._cut(connection)
        return None

    async def _wait(self, deadline: float) -> Connection:
        while True:
            if self.closed:
                raise DatabaseUnavailable(CLOSED)
            if self._count < self._most:
                return await self._new(deadline)
            turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await turn
            except BaseException as error:
                if turn.done() and not turn.cancelled():  # given in the very moment
                    self._pass_on(turn.result())
                if isinstance(error, TimeoutError):
                    raise DatabaseUnavailable(
                        f"PostgreSQL: all {self._most} connections were busy for too long"
                    ) from error
                raise
            if connection is not None:
                return connection

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._wake()
        else:
            self.release(connection, clean=True)

    async def _new(self, deadline: float) -> Connection:
        self._count += 1
        self._metrics.connections(self._count)
        try:
            connection = await connect_until(self.connector, deadline)
        except BaseException:
            self._dropped()
            raise
        connection.generation = self.generation
        return connection

    def _lend(self, connection: Connection) -> None:
        while self._waiting:
            if _settle(self._waiting.popleft(), connection):
                return
        connection.idle_since = _now()
        self._idle.append(connection)

    def _cut(self, connection: Connection) -> None:
        connection.terminate()
        self._dropped()

    def _dropped(self) -> None:
        self._count -= 1
        self._metrics.connections(self._count)
        self._wake()

    def _wake(self) -> None:
        """Let the next who waits make a connection."""
        while self._waiting:
            if _settle(self._waiting.popleft(), None):
                return

    async def _recover(self, connection: Connection) -> None:
        try:
            with translated():
                # Waits first for the end of what was broken off.
                await connection.execute("ROLLBACK", timeout=_RECOVERY_SECONDS)
        except DatabaseUnavailable as error:
            if isinstance(error, NoAnswer):
                self.distrust()
            self._cut(connection)
        except BaseException:
            self._cut(connection)
            raise
        else:
            self.release(connection, clean=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def connect_until(connector: Connector, deadline: float) -> Connection:
    """Connect, again and again while nobody answers: a server that starts, or another one, may be there in a moment.

    Raises:
        DatabaseUnavailable: There was none until the deadline, by the clock of the loop.
    """
    pause, longest = _PAUSES
    last: DatabaseUnavailable | None = None
    try:
        async with asyncio.timeout_at(deadline):
            while True:
                try:
                    return await connector.connect()
                except (ConnectionLost, NoAnswer) as error:
                    last = error
                if _now() + pause >= deadline:
                    raise last
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
    except TimeoutError as error:
        raise last or NoAnswer("PostgreSQL: no connection in time") from error


def _settle(turn: asyncio.Future[Connection | None], connection: Connection | None) -> bool:
    if turn.done():
        return False
    turn.set_result(connection)
    return True


async def _farewell(connection: Connection) -> None:
    with suppress(DatabaseUnavailable), translated():
        await connection.close(timeout=_RECOVERY_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
