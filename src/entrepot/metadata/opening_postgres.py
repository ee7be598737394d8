"""Opens a registry's PostgreSQL database: the truth in the schema of the connection, work in progress in `work`.

Every process opens it for itself, and goes by its clock from then on. What only one of all processes may do at a time
(building tables, migrating) happens under a lock that ends with its transaction, on a connection that has time for it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from entrepot.metadata import schema, work_shape
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.postgres_connect import WORK
from entrepot.metadata.opening import Stores
from entrepot.metadata.shared_clock import following


async def open_postgres(url: str, *, connections: int, direct: str = "") -> Stores:
    """Open the database, building or upgrading its tables.

    Args:
        url: `postgresql://…`.
        connections: Most of one process.
        direct: The same database without a pooler in between; `url` when empty.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        SchemaTooNew: A newer program has left this one behind.
    """
    async with AsyncExitStack() as stack:
        database = await PostgresDatabase.open(url, connections=connections)
        stack.push_async_callback(database.close)
        await stack.enter_async_context(following(database))
        if not await _is_prepared(database):
            await prepare(direct or url)
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
