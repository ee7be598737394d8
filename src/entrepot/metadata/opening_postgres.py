"""Opens a registry's PostgreSQL database: the truth in the schema of the connection, work in progress in `work`.

Every process opens it for itself. What only one of all processes may do at a time (building tables, migrating) happens
under a lock that ends with its transaction.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from entrepot.metadata import schema, shared_clock, work_shape
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.opening import Stores


async def open_postgres(url: str, *, connections: int) -> Stores:
    """Open the database, building or upgrading its tables.

    Args:
        url: `postgresql://…`.
        connections: Most of one process.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        SchemaTooNew: A newer program has left this one behind.
    """
    async with AsyncExitStack() as stack:
        database = await PostgresDatabase.open(url, connections=connections)
        stack.push_async_callback(database.close)
        await schema.upgrade(database)
        await work_shape.complete(database)
        await stack.enter_async_context(shared_clock.following(database))
        return Stores(metadata=database, work=database, _closing=stack.pop_all())
    raise AssertionError  # the stack swallows nothing
