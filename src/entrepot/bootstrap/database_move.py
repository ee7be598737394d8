"""Moves the database of a registry: from SQLite files to PostgreSQL, or back (`metadata.move`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from entrepot.access.tokens import signing_keys
from entrepot.bootstrap.databases import open_databases, require_driver, secret_key_of
from entrepot.config import Config
from entrepot.metadata import sealed
from entrepot.metadata.database import Database
from entrepot.metadata.move.sides import MoveFailed, Source, Target
from entrepot.metadata.move.sqlite_side import SqliteSource, SqliteTarget
from entrepot.metadata.move.steps import Moved, move
from entrepot.metadata.opening import open_embedded
from entrepot.registry.layout import OWN
from entrepot.telemetry.progress import Progress
from entrepot.vault.vault import Vault

_SCHEMES: Final = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOnTheWay:
    """The secret key that has to go along: where it is now, and what was opened with it."""

    where: str
    is_ours: bool  #: whether it lies beside SQLite's files, so that another place has to get it
    opened: int  #: sealed values


async def move_database(config: Config, to: str, progress: Progress) -> tuple[KeyOnTheWay, Moved]:
    """Move everything to another database, beside a running server, and leave the one that is configured.

    Args:
        config: The registry.
        to: The address of an empty PostgreSQL database, or the folder of a new registry for the way back.
        progress: Told how far it is.

    Raises:
        DatabaseError: One of both cannot be used, or the move has failed; the registry stays where it is.
        VaultError: The secret key does not open what is sealed.
    """
    if is_server(to) == config.on_server:
        wanted = (
            "a folder: the metadata are in PostgreSQL" if config.on_server else "postgresql://…: they are in SQLite"
        )
        raise MoveFailed(f"the metadata can be moved to {wanted} now")
    key = await _prepare_secrets(config)
    await progress.say(f"the secret key in {key.where} goes along; {key.opened} sealed values were opened with it")
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(opened_source(config))
        target = await stack.enter_async_context(_opened_target(to))
        moved = await move(source, target, _name(to), progress)
    if config.on_server:
        await _write_signing_keys(config, Path(to))
    return key, moved


async def give_up_move(config: Config) -> None:
    """Forget a move: what was begun, or what was done; the registry's old database may be written again."""
    async with opened_source(config) as source:
        await source.give_up()


def is_server(to: str) -> bool:
    """Tell whether a place to move to is a PostgreSQL database."""
    return to.startswith(_SCHEMES)


@asynccontextmanager
async def opened_source(config: Config) -> AsyncIterator[Source]:
    """Open the database of a registry as one that is left."""
    if not config.on_server:
        yield SqliteSource(config.state)
        return
    require_driver()
    from entrepot.metadata.move.postgres_side import PostgresSource, connect  # noqa: PLC0415 - needs the extra

    connection = await connect(config.database_urls()[1])
    try:
        yield PostgresSource(connection)
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def _opened_target(to: str) -> AsyncIterator[Target]:
    if not is_server(to):
        stores = await open_embedded(Path(to) / OWN, moving=True)
        await stores.close()
        target = SqliteTarget(Path(to) / OWN)
        try:
            yield target
        finally:
            await target.close()
        return
    async with opened_target(to) as server:
        yield server


@asynccontextmanager
async def opened_target(url: str) -> AsyncIterator[Target]:
    """Open a PostgreSQL database, with no pooler in between, as one that is filled; its tables are built.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
        SchemaTooNew: A newer program has left this one behind.
    """
    require_driver()
    from entrepot.metadata.move.postgres_side import PostgresTarget, connect  # noqa: PLC0415 - needs the extra
    from entrepot.metadata.opening_postgres import prepare  # noqa: PLC0415 - needs the extra

    await prepare(url)
    postgres = PostgresTarget(await connect(url))
    try:
        yield postgres
    finally:
        await postgres.close()


async def _prepare_secrets(config: Config) -> KeyOnTheWay:
    """Seal the keys that sign tokens into the database, and open a value of each place with the operator's key."""
    source = secret_key_of(config)
    stores = await open_databases(config, moving=True)
    try:
        vault = Vault(stores.metadata, source)
        await vault.require_key()
        if not config.on_server:
            await signing_keys.seal_files(config.state / "keys", stores.metadata, vault)
        return KeyOnTheWay(where=str(source), is_ours=source.is_ours, opened=await _open_some(stores.metadata, vault))
    finally:
        await stores.close()


async def _open_some(database: Database, vault: Vault) -> int:
    opened = 0
    for place in sealed.PLACES:
        for key, text in await sealed.page(database, place, after=sealed.before_first(place), limit=1):
            await vault.open(text, sealed.about(place, key))
            opened += 1
    return opened


async def _write_signing_keys(config: Config, folder: Path) -> None:
    """Put the keys that sign tokens where a registry in a folder has them."""
    stores = await open_embedded(folder / OWN)
    try:
        vault = Vault(stores.metadata, secret_key_of(config))
        await signing_keys.write_files(folder / OWN / "keys", stores.metadata, vault)
    finally:
        await stores.close()


def _name(to: str) -> str:
    if not is_server(to):
        return str(Path(to).absolute())
    from entrepot.metadata.move.postgres_side import host_of  # noqa: PLC0415 - needs the extra

    return host_of(to)
