"""What a PostgreSQL server must be set to, so that what is acknowledged is kept: looked at when a process starts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Integer, cast, func, select

from entrepot.metadata.database import Reader
from entrepot.metadata.errors import UnsuitableDatabase
from entrepot.metadata.query import Query

OLDEST: Final = 14
#: Connections of one process beside its pool: two for gathered questions, one for a lost commit or a lock.
BESIDE_THE_POOL: Final = 3

_log = logging.getLogger(__name__)


def _setting(name: str) -> Any:
    return func.current_setting(name)


_SETTINGS: Final = Query(
    select(
        cast(_setting("server_version_num"), Integer),
        _setting("fsync"),
        _setting("full_page_writes"),
        _setting("synchronous_commit"),
        _setting("synchronous_standby_names"),
        _setting("server_encoding"),
        cast(_setting("max_connections"), Integer) - cast(_setting("superuser_reserved_connections"), Integer),
    ),
    "postgres_checks.settings",
)


@dataclass(frozen=True, slots=True)
class Server:
    """What a server is set to."""

    version: int  #: 150020 is 15.20
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    standbys: str  #: `synchronous_standby_names`
    encoding: str
    connections: int  #: that it has for us and others


@dataclass(frozen=True, slots=True)
class _Rule:
    """Something that a server has to be, and the way there."""

    is_broken: Callable[[Server], bool]
    message: str


_RULES: Final = (
    _Rule(
        lambda server: server.version < OLDEST * 10_000,
        f"this server is older than PostgreSQL {OLDEST}: upgrade it (pg_upgrade, or dump and restore)",
    ),
    _Rule(
        lambda server: server.fsync == "off",
        "fsync is off, so a crash of its machine loses what was acknowledged, or all: set fsync = on and reload",
    ),
    _Rule(
        lambda server: server.full_page_writes == "off",
        "full_page_writes is off, so a crash of its machine may damage tables: set full_page_writes = on and reload",
    ),
    _Rule(
        lambda server: server.synchronous_commit == "off",
        "synchronous_commit is off, so a crash loses what was acknowledged: set synchronous_commit = on for the server,"
        " the database and the role (ALTER ROLE … RESET synchronous_commit)",
    ),
    _Rule(
        lambda server: server.encoding != "UTF8",
        "the database is not in UTF-8: make another one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
    ),
)
_SYNCHRONOUS: Final = _Rule(
    lambda server: not server.standbys or server.synchronous_commit == "local",
    "metadata.synchronous is `require`, and the server waits for no standby: set synchronous_standby_names and"
    " synchronous_commit = on (patroni: synchronous_mode: true)",
)


async def look(reader: Reader) -> Server:
    """Read what a server is set to."""
    row = await reader.one(_SETTINGS)
    assert row is not None  # it has no condition
    return Server(*row)


def require_suitable(server: Server, *, synchronous: bool = False) -> None:
    """Refuse a server on which our promises cannot be kept.

    Args:
        server: What it is set to.
        synchronous: Whether a commit must be on a standby too.

    Raises:
        UnsuitableDatabase: It is not set up for them; the message says how to.
    """
    for rule in (*_RULES, *((_SYNCHRONOUS,) if synchronous else ())):
        if rule.is_broken(server):
            raise UnsuitableDatabase(f"PostgreSQL: {rule.message}")


def say_connections(server: Server, *, processes: int, connections: int) -> None:
    """Say how many connections this node may open, and for how many nodes the server has enough."""
    needed = processes * (connections + BESIDE_THE_POOL)
    nodes = server.connections // needed
    if nodes:
        _log.info(
            "up to %d connections to PostgreSQL (%d processes), which has %d: enough for %d such nodes",
            needed,
            processes,
            server.connections,
            nodes,
        )
    else:
        _log.warning(
            "this node may open %d connections to PostgreSQL (%d processes), which has %d: raise max_connections, lower"
            " metadata.pool.size, or put pgbouncer before it",
            needed,
            processes,
            server.connections,
        )
