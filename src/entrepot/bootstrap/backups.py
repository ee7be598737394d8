"""Backups of a registry into a folder or a bucket; `bootstrap.restoration` brings them back."""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import entrepot
from entrepot.adapters.backups.folder import FolderTarget
from entrepot.adoption import state
from entrepot.adoption.state import AdoptionState
from entrepot.backup.catalogue import BackupInfo
from entrepot.backup.create import BackedUp, Creation, Snapshot
from entrepot.backup.errors import BackupError
from entrepot.backup.own_keys import pack_keys
from entrepot.backup.ports import BackupTarget
from entrepot.backup.sealed_pieces import Pieces, open_pieces
from entrepot.bootstrap.database_move import opened_source
from entrepot.bootstrap.deployment import Deployment, deployment
from entrepot.bootstrap.storage import cloud_place
from entrepot.config import Config
from entrepot.config.schema.cloud_storage import S3, Azure
from entrepot.config.schema.storage import OtherStorage
from entrepot.metadata import schema
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_connection import Durability
from entrepot.metadata.engine.sqlite_copy import copy_database, make_one_file
from entrepot.metadata.move.sqlite_side import SqliteTarget
from entrepot.metadata.move.steps import copy_at_once
from entrepot.metadata.opening import METADATA_NAME
from entrepot.registry.locks import COLLECTION
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress, Unwatched
from entrepot.vault.master import keys_in

#: The copy of the metadata while a backup is being made.
_SNAPSHOT = "backup-snapshot.db"
#: Seconds for which a backup waits for a collection that is at the bytes.
_PATIENCE = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """How buckets for backups are reached; an S3 that is not said as AWS's own programs find out."""

    s3: S3 | None = None
    azure: Azure | None = None


@asynccontextmanager
async def opened_pieces(
    target: str, key: Path | None, *, create: bool = False, clouds: Clouds | None = None
) -> AsyncIterator[Pieces]:
    """Open a place of backups, with the key in a file where it is encrypted.

    Args:
        target: A folder, `s3://BUCKET/PREFIX` or `azure://CONTAINER/PREFIX`.
        key: The file.
        create: Whether to begin with backups where there are none.
        clouds: How a bucket is reached.

    Raises:
        BackupError: It is none, or cannot be used.
        StorageUnusable: The packages that it needs are not installed.
        VaultError: The key cannot be used.
        WrongKey: The key does not fit.
    """
    keys = None if key is None else await asyncio.to_thread(keys_in, key)
    scheme, mark, _ = target.partition("://")
    if mark and scheme in {"s3", "azure"}:
        async with _opened_bucket(target, clouds or Clouds()) as bucket:
            yield await open_pieces(bucket, keys, create=create)
        return
    folder = await asyncio.to_thread(functools.partial(FolderTarget, Path(target), create=create))
    try:
        yield await open_pieces(folder, keys, create=create)
    finally:
        folder.close()


@asynccontextmanager
async def _opened_bucket(target: str, clouds: Clouds) -> AsyncIterator[BackupTarget]:
    place = cloud_place(_section(target, clouds))
    from entrepot.adapters.backups.bucket import BucketTarget  # noqa: PLC0415 - many back up into a folder
    from entrepot.adapters.blobs.objects.cloud import CloudError  # noqa: PLC0415 - as above

    try:
        cloud = await place.opening()
    except CloudError as error:
        raise BackupError(f"{target} cannot be used: {error}") from error
    try:
        yield BucketTarget(cloud, target, place.calls())
    finally:
        await cloud.close()


def _section(target: str, clouds: Clouds) -> OtherStorage:
    """Say of a bucket what a configuration would."""
    scheme, _, rest = target.partition("://")
    name, _, prefix = rest.partition("/")
    if not name:
        raise BackupError(f"{target} names no bucket; write {scheme}://BUCKET/PREFIX")
    root = f"/{prefix}"
    if scheme == "s3":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
        return OtherStorage(
            s3=(clouds.s3 or S3(region=region)).model_copy(update={"bucket": name, "rootdirectory": root})
        )
    if clouds.azure is None:
        raise BackupError(f"nobody says whose {target} is: name the account in backup.azure, with --config FILE")
    return OtherStorage(azure=clouds.azure.model_copy(update={"container": name, "rootdirectory": root}))


def reached_by(config: Config) -> Clouds:
    """Say how a configuration has buckets for backups reached: as `backup` says, else as those of its blobs."""
    backup, storage = config.backup, config.storage
    return Clouds(s3=backup.s3 or storage.s3, azure=backup.azure or storage.azure)


async def create_backup(config: Config, target: str, key: Path | None, progress: Progress) -> BackupInfo:
    """Back up a registry, beside a running server or without one.

    Raises:
        BackupError: It cannot be: the text says why.
    """
    async with AsyncExitStack() as stack:
        pieces = await stack.enter_async_context(opened_pieces(target, key, create=True, clouds=reached_by(config)))
        parts = await stack.enter_async_context(deployment(config, Metrics()))
        # Damage that is found is noted, also where the registry takes nothing from clients.
        quarantine = Quarantine(parts.stores.metadata, parts.store, read_only=lambda: False)
        return await Creation(replace(backed_up(parts), quarantine=quarantine), pieces, progress).run()
    raise AssertionError  # the stack swallows nothing


async def _require_ready(metadata: Database) -> None:
    """Refuse while a backup would lack something.

    Raises:
        BackupError: What registry:2 left is being taken over, or a newer Entrepot has changed the tables.
    """
    if await state.find(metadata) is not AdoptionState.COMPLETE:
        raise BackupError("what registry:2 left is still being taken over; back it up when that is done")
    found = await schema.find(metadata)
    if found is not None and found.version > schema.VERSION:
        raise BackupError("a newer Entrepot has upgraded the metadata: back them up with that one")


def backed_up(parts: Deployment) -> BackedUp:
    """Give a registry as a backup sees it."""
    config, metadata = parts.config, parts.stores.metadata
    return BackedUp(
        metadata=metadata,
        store=parts.store,
        quarantine=parts.registry.verifying.quarantine,
        snapshot=functools.partial(_snapshot_of_server if config.on_server else _snapshot, config),
        turn=functools.partial(parts.locks.turn, COLLECTION, patience=_PATIENCE),
        keys=functools.partial(_keys, config),
        version=entrepot.__version__,
        require_ready=functools.partial(_require_ready, metadata),
    )


async def _keys(config: Config) -> bytes | None:
    """Read the registry's own keys; beside PostgreSQL none of them lies in a file of ours."""
    return None if config.on_server else await asyncio.to_thread(pack_keys, config.state)


@asynccontextmanager
async def _snapshot(config: Config) -> AsyncIterator[Snapshot]:
    path = config.state / _SNAPSHOT
    await asyncio.to_thread(copy_database, config.state / METADATA_NAME, path)
    try:
        async with _opened_file(path) as snapshot:
            yield snapshot
    finally:
        await asyncio.to_thread(_remove_all, config.state, f"{_SNAPSHOT}*")


@asynccontextmanager
async def _snapshot_of_server(config: Config) -> AsyncIterator[Snapshot]:
    """Copy PostgreSQL's tables of one moment into a SQLite file, in a folder for temporary files (`TMPDIR`)."""
    with tempfile.TemporaryDirectory(prefix="entrepot-backup-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / METADATA_NAME
        async with _opened_file(path) as empty:
            await schema.upgrade(empty.database)
        target = SqliteTarget(path.parent)
        try:
            async with opened_source(config) as source, source.snapshot() as moment:
                await copy_at_once(moment, target, _SNAPSHOT, Unwatched())
        finally:
            await target.close()
        await asyncio.to_thread(make_one_file, path)
        async with _opened_file(path) as snapshot:
            yield snapshot


@asynccontextmanager
async def _opened_file(path: Path) -> AsyncIterator[Snapshot]:
    database = SqliteDatabase(path, Durability.NORMAL)
    try:
        yield Snapshot(database, path)
    finally:
        await database.close()


def _remove_all(folder: Path, pattern: str) -> None:
    for leftover in folder.glob(pattern):
        leftover.unlink(missing_ok=True)
