"""Opens a registry's PostgreSQL database: the truth in the schema of the connection, work in progress in `work`.

Every process opens it for itself, and goes by its clock from then on. What only one of all processes may do at a time
(building tables, migrating) happens under a lock that ends with its transaction, on a connection that has time for it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from entrepot.metadata import move_mark, schema, work_shape
from entrepot.metadata.engine import postgres_checks
from entrepot.metadata.engine.postgres import CONNECTIONS, PostgresDatabase
from entrepot.metadata.engine.postgres_connect import REQUESTS, WORK
from entrepot.metadata.opening import Stores
from entrepot.metadata.shared_clock import following
from entrepot.telemetry.instruments import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How one process uses a PostgreSQL database."""

    connections: int = CONNECTIONS  #: most for transactions and lists
    processes: int = 1  #: of this node, for the sum of connections
    for_requests: bool = False  #: somebody waits for each answer; else statements may take long
    synchronous: bool = False  #: a commit must be on a standby too
    moving: bool = False  #: for a move, which may open what was left or is being filled
    direct: str = ""  #: the same database without a pooler in between; the address itself when empty


async def open_postgres(url: str, options: PostgresOptions, metrics: Metrics | None = None) -> Stores:
    """Open the database, building or upgrading its tables.

    Args:
        url: `postgresql://…`.
        options: How it is used.
        metrics: Where connections, waits and retries are counted.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        UnsuitableDatabase: The server, or a pooler before it, is not set up for what a registry promises.
        SchemaTooNew: A newer program has left this one behind.
        DatabaseMoved: The database was left by a move, or is being filled by one.
    """
    limits = REQUESTS if options.for_requests else WORK
    async with AsyncExitStack() as stack:
        database = await PostgresDatabase.open(url, connections=options.connections, limits=limits, metrics=metrics)
        stack.push_async_callback(database.close)
        server = await postgres_checks.look(database)
        postgres_checks.require_suitable(server, synchronous=options.synchronous)
        if not options.for_requests:
            postgres_checks.say_connections(server, processes=options.processes, connections=options.connections)
        await stack.enter_async_context(following(database))
        if not await _is_prepared(database):
            await prepare(options.direct or url)
        if not options.moving:
            await move_mark.require_usable(database)
        return Stores(metadata=database, work=database, _closing=stack.pop_all())
    raise AssertionError  # the stack swallows nothing


async def prepare(url: str) -> None:
    """Build or upgrade the tables, which may take longer than a request may wait.

    Args:
        url: Of the server, with no pooler in between.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        SchemaTooNew: A newer program has left this one behind.
    """
    database = await PostgresDatabase.open(url, connections=2, limits=WORK)
    try:
        await schema.upgrade(database)
        await work_shape.complete(database)
    finally:
        await database.close()


async def _is_prepared(database: PostgresDatabase) -> bool:
    found = await schema.find(database)
    if found is None or found.version < schema.VERSION:
        return False
    schema.check(found)
    return await work_shape.is_complete(database)
