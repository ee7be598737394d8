"""Backups of a registry into a folder or a bucket; `bootstrap.restoration` brings them back."""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
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
from entrepot.bootstrap.deployment import Deployment, deployment
from entrepot.bootstrap.moving import opened_source
from entrepot.config import Config
from entrepot.config.schema.cloud_storage import S3
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
_S3 = "s3://"
#: Seconds for which a backup waits for a collection that is at the bytes.
_PATIENCE = 600.0


@asynccontextmanager
async def opened_pieces(
    target: str, key: Path | None, *, create: bool = False, s3: S3 | None = None
) -> AsyncIterator[Pieces]:
    """Open a place of backups, with the key in a file where it is encrypted.

    Args:
        target: A folder, or `s3://BUCKET/PREFIX`.
        key: The file.
        create: Whether to begin with backups where there are none.
        s3: How a bucket is reached; as AWS's own programs find out when None.

    Raises:
        BackupError: It is none, or cannot be used.
        VaultError: The key cannot be used.
        WrongKey: The key does not fit.
    """
    keys = None if key is None else await asyncio.to_thread(keys_in, key)
    if target.startswith(_S3):
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
        async with _opened_bucket(target, s3 or S3(region=region)) as bucket:
            yield await open_pieces(bucket, keys, create=create)
        return
    folder = await asyncio.to_thread(functools.partial(FolderTarget, Path(target), create=create))
    try:
        yield await open_pieces(folder, keys, create=create)
    finally:
        folder.close()


@asynccontextmanager
async def _opened_bucket(target: str, section: S3) -> AsyncIterator[BackupTarget]:
    try:
        from entrepot.adapters.backups.bucket import BucketTarget  # noqa: PLC0415 - many back up into a folder
        from entrepot.adapters.blobs.objects.s3 import S3Bucket  # noqa: PLC0415 - as above
        from entrepot.adapters.blobs.objects.s3_settings import S3Settings  # noqa: PLC0415 - as above
    except ImportError as error:
        raise BackupError(
            f"{target} needs packages that are not installed ({error.name}): pip install 'entrepot[s3]'"
        ) from error
    bucket, _, prefix = target.removeprefix(_S3).partition("/")
    if not bucket:
        raise BackupError(f"{target} names no bucket; write s3://BUCKET/PREFIX")
    place = S3Settings.of(section.model_copy(update={"bucket": bucket, "rootdirectory": f"/{prefix}"}))
    cloud = await S3Bucket.open(place)
    try:
        yield BucketTarget(cloud, target)
    finally:
        await cloud.close()


def reached_by(config: Config) -> S3 | None:
    """Say how a configuration has a bucket for backups reached; None where it says nothing of S3."""
    return config.backup.s3 or config.storage.s3


async def create_backup(config: Config, target: str, key: Path | None, progress: Progress) -> BackupInfo:
    """Back up a registry, beside a running server or without one.

    Raises:
        BackupError: It cannot be: the text says why.
    """
    async with AsyncExitStack() as stack:
        pieces = await stack.enter_async_context(opened_pieces(target, key, create=True, s3=reached_by(config)))
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
