"""Connections to PostgreSQL: to the primary among several hosts, set up so that only transactions write."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from entrepot.metadata.engine.postgres_errors import ConnectionLost, translated
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable, UnsuitableDatabase

#: Statements kept prepared per connection, more than the project has.
PREPARED: Final = 512
#: A statement outside a transaction must not write, here as on SQLite; `write` says READ WRITE.
_READ_ONLY: Final = "default_transaction_read_only"
_SESSION: Final = {_READ_ONLY: "on", "timezone": "UTC", "application_name": "entrepot"}
#: How long the host that was the primary before is asked alone, before the others are asked too.
_HASTE_SECONDS: Final = 1.0
_DEFAULT_PORT: Final = 5432
POOLER_REMEDY: Final = (
    f"behind pgbouncer, `track_extra_parameters = IntervalStyle, {_READ_ONLY}` and no mention of {_READ_ONLY} in"
    " ignore_startup_parameters; without that a statement outside a transaction could write"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the database may take; all in seconds."""

    #: For a free connection, or a new one: then the caller gets 503. Nothing is begun again after it.
    answer: float = 5.0
    #: For a question outside a transaction, its connection included.
    question: float = 5.0
    #: For one connection attempt to one host.
    connect: float = 3.0
    #: For a transaction with all its tries; who asked has an answer by then.
    transaction: float = 9.0
    #: For a lock that another transaction holds; then the transaction begins again.
    lock: float = 3.0
    #: For one statement of a transaction, kept by the server, which is waited for a second more.
    statement: float = 8.0
    #: For the next statement of an open transaction, kept by the server.
    idle: float = 10.0


#: While somebody waits for the answer to a request.
REQUESTS: Final = Limits()
#: For jobs and commands, whose statements may go through many rows.
WORK: Final = Limits(answer=30.0, question=300.0, connect=5.0, transaction=600.0, lock=10.0, statement=300.0, idle=60.0)


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg carries no types
    """A connection, and what its pool notes of it."""

    __slots__ = ("generation", "idle_since")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generation = 0
        self.idle_since = 0.0


class Connector:
    """Makes connections to the primary."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """Keep an address.

        Args:
            url: `postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?sslmode=…`.
            seconds: How long each host may take.

        Raises:
            DatabaseError: The address cannot be read.
        """
        self._url = url
        self._seconds = seconds
        self._hosts = _hosts(url)
        self._primary: tuple[str, int] | None = None

    @property
    def database(self) -> str:
        """Name the database, as the address does."""
        return urlsplit(self._url).path.lstrip("/")

    async def connect(self) -> Connection:
        """Connect to the primary.

        Raises:
            ConnectionLost: Nobody answers, or no host is a primary now.
            DatabaseUnavailable: The server refuses who asks, or there is no such database.
            UnsuitableDatabase: A pooler between us and the server takes a setting away.
        """
        if not self._hosts:
            return await self._at(None)
        if self._primary is not None:
            try:
                async with asyncio.timeout(min(_HASTE_SECONDS, self._seconds)):
                    return await self._at(self._primary)
            except (DatabaseUnavailable, TimeoutError):
                self._primary = None
        return await self._first_of_all()

    async def _first_of_all(self) -> Connection:
        """Ask all hosts at once, so that one that says nothing holds up nobody."""
        pending = {asyncio.create_task(self._at(host), name=str(number)) for number, host in enumerate(self._hosts)}
        error: Exception = ConnectionLost("PostgreSQL: no host answers")
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for number, task in enumerate(done):
                    try:
                        connection = task.result()
                    except DatabaseUnavailable as refused:
                        error = refused
                        continue
                    self._primary = self._hosts[int(task.get_name())]
                    pending |= set(list(done)[number + 1 :])
                    return connection
        finally:
            for task in pending:  # not cancelled, which the driver would report to the log; each ends in time
                task.add_done_callback(_discard)
        raise error

    async def _at(self, host: tuple[str, int] | None) -> Connection:
        place = {} if host is None else {"host": host[0], "port": host[1]}
        try:
            with translated():
                connection: Connection = await asyncpg.connect(
                    self._url,
                    **place,
                    timeout=self._seconds,
                    statement_cache_size=PREPARED,
                    max_cached_statement_lifetime=0,
                    max_cacheable_statement_size=0,
                    server_settings=_SESSION,
                    connection_class=Connection,
                    # `read-write` would refuse the primary, whose transactions are read-only unless they say otherwise.
                    target_session_attrs="primary",
                )
        except ConnectionLost as error:
            if _READ_ONLY in str(error):  # 08P01, unsupported startup parameter
                raise UnsuitableDatabase(f"{error}: {POOLER_REMEDY}") from error
            raise
        if getattr(connection.get_settings(), _READ_ONLY, "on") != "on":
            connection.terminate()
            raise UnsuitableDatabase(f"PostgreSQL: {_READ_ONLY} was asked for and is not in force: {POOLER_REMEDY}")
        return connection


def _discard(task: asyncio.Task[Connection]) -> None:
    """Let go of a connection that another one was faster than."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _hosts(url: str) -> list[tuple[str, int]]:
    """Return the hosts that an address names; one or none is left to the driver, with its sockets and variables."""
    try:
        named = urlsplit(url).netloc.rpartition("@")[2].split(",")
        hosts = [_host(text) for text in named]
    except ValueError:
        # What is wrong with it may be the password: it is not quoted.
        raise DatabaseError(
            "the address of the database cannot be read; it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
            " with special characters of user and password percent-encoded"
        ) from None
    return hosts if len(hosts) > 1 else []


def _host(text: str) -> tuple[str, int]:
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        name, port = text, ""
    return unquote(name.strip("[]")), int(port or _DEFAULT_PORT)
