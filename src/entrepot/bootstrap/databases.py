"""Opens the databases, for the server and for every command: SQLite files in a folder, or PostgreSQL.

Here and nowhere else is decided which; nothing of the one that is not configured is imported.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entrepot.config import Config
from entrepot.metadata import schema
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.opening import METADATA_NAME, Stores, look_at_schema, open_embedded
from entrepot.metadata.schema import Schema
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.locks import Locks
from entrepot.telemetry.instruments import Metrics
from entrepot.vault.master import KeySource


async def open_databases(
    config: Config, metrics: Metrics | None = None, *, for_requests: bool = False, moving: bool = False
) -> Stores:
    """Open the databases that a configuration names; build or upgrade their tables.

    Args:
        config: Which they are.
        metrics: Where what they do is counted.
        for_requests: Whether somebody waits for each answer: then a server that is silent is waited for a few seconds.
        moving: Whether for a move, which may open what was left or is being filled.

    Raises:
        DatabaseError: They cannot be used; the message says why, and what to do.
    """
    if not config.on_server:
        return await open_embedded(config.state, moving=moving)
    require_driver()
    from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres  # noqa: PLC0415 - needs the extra

    url, direct = config.database_urls()
    options = PostgresOptions(
        connections=config.database_connections,
        processes=config.web_processes + 1,
        for_requests=for_requests,
        synchronous=config.metadata.synchronous == "require",
        direct=direct,
        moving=moving,
    )
    return await open_postgres(url, options, metrics)


@asynccontextmanager
async def opened_databases(
    config: Config, metrics: Metrics | None = None, *, for_requests: bool = False
) -> AsyncIterator[Stores]:
    """Open the databases for the length of the block, beside a running server or without one."""
    stores = await open_databases(config, metrics, for_requests=for_requests)
    try:
        yield stores
    finally:
        await stores.close()


@asynccontextmanager
async def opened_locks(config: Config) -> AsyncIterator[Locks]:
    """Give the locks of all processes of a registry for the length of the block."""
    if not config.on_server:
        yield FileLocks(config.state)
        return
    require_driver()
    from entrepot.metadata.engine.postgres_locks import PostgresLocks  # noqa: PLC0415 - needs the extra

    locks = PostgresLocks(config.database_urls()[1])
    try:
        yield locks
    finally:
        await locks.close()


async def schema_of(config: Config) -> Schema | None:
    """Look at the schema of the metadata and change nothing; None where there is none yet."""
    if not config.on_server:
        return await look_at_schema(config.state) if has_databases(config) else None
    require_driver()
    from entrepot.metadata.engine.postgres import PostgresDatabase  # noqa: PLC0415 - needs the extra

    database = await PostgresDatabase.open(config.database_urls()[0], connections=1)
    try:
        return await schema.find(database)
    finally:
        await database.close()


def has_databases(config: Config) -> bool:
    """Tell whether a registry has ever been started in a folder; of a server, whether one is named."""
    return config.on_server or (config.has_state and (config.state / METADATA_NAME).exists())


def secret_key_of(config: Config) -> KeySource:
    """Say where the secret key comes from: with SQLite it may lie beside the databases, else it has to be given.

    Raises:
        SecretKeyUnusable: Nobody can say which one is meant.
    """
    return KeySource(None if config.on_server else config.state, os.environ)


def require_driver() -> None:
    """Make sure that PostgreSQL's driver is there.

    Raises:
        DatabaseUnavailable: It is not, with how to get it.
    """
    try:
        import asyncpg  # noqa: F401, PLC0415 - asked whether it is there
    except ImportError:
        raise DatabaseUnavailable(
            "a PostgreSQL database is configured, and its driver is not installed: pip install 'entrepot[postgres]'"
        ) from None
