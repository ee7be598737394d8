"""Backups of a registry into a folder or a bucket, and back."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import entrepot
from entrepot.adapters.backups.folder import FolderTarget
from entrepot.adapters.blobs.bulk import BulkBlobs
from entrepot.adoption import state
from entrepot.adoption.delta import Delta
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.intake import Intake
from entrepot.adoption.note import leave_note
from entrepot.adoption.report import ReportFile
from entrepot.adoption.state import AdoptionState
from entrepot.adoption.tree import Tree
from entrepot.backup.catalogue import BackupInfo, Catalogue
from entrepot.backup.create import BackedUp, Creation, Snapshot
from entrepot.backup.errors import BackupError
from entrepot.backup.own_keys import pack_keys
from entrepot.backup.ports import BackupTarget
from entrepot.backup.restore import Restoration, Restored
from entrepot.backup.restore_folders import require_free
from entrepot.backup.sealed_pieces import Pieces, open_pieces
from entrepot.bootstrap.deployment import Deployment, deployment
from entrepot.config import Config
from entrepot.config.schema.cloud_storage import S3
from entrepot.metadata.database import Database
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_connection import Durability
from entrepot.metadata.engine.sqlite_copy import copy_database
from entrepot.metadata.jobs import outbox
from entrepot.metadata.opening import METADATA_NAME, open_embedded
from entrepot.projection.comparison import Comparison, DifferenceKind
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.layout import OWN
from entrepot.registry.locks import COLLECTION
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress
from entrepot.vault.master import keys_in

#: The copy of the metadata while a backup is being made.
_SNAPSHOT = "backup-snapshot.db"
_S3 = "s3://"
#: Seconds for which a backup waits for a collection that is at the bytes.
_PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Newer:
    """What a storage has that the metadata that were brought back do not know."""

    differences: int = 0  #: things that differ, when nothing was taken in
    repositories: int = 0  #: looked at
    manifests: int = 0  #: taken in
    tags: int = 0  #: taken in or moved


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
        BackupError: It cannot be: the metadata are no file.
    """
    if config.on_server:
        raise BackupError(
            "the metadata are in PostgreSQL: back that up with its own means, such as pg_dump or point-in-time "
            "recovery, and the blobs with those of their store; after a restoration see: entrepot doctor"
        )
    async with AsyncExitStack() as stack:
        pieces = await stack.enter_async_context(opened_pieces(target, key, create=True, s3=reached_by(config)))
        parts = await stack.enter_async_context(deployment(config, Metrics()))
        # Damage that is found is noted, also where the registry takes nothing from clients.
        quarantine = Quarantine(parts.stores.metadata, parts.store, read_only=lambda: False)
        return await Creation(replace(backed_up(parts), quarantine=quarantine), pieces, progress).run()
    raise AssertionError  # the stack swallows nothing


async def _require_adopted(metadata: Database) -> None:
    """Refuse while a folder is being taken over: what is not known yet would not be in the backup.

    Raises:
        BackupError: It is.
    """
    if await state.find(metadata) is not AdoptionState.COMPLETE:
        raise BackupError("the folder is still being taken over from registry:2; back it up when that is done")


def backed_up(parts: Deployment) -> BackedUp:
    """Give a registry as a backup sees it."""
    config, metadata = parts.config, parts.stores.metadata
    return BackedUp(
        metadata=metadata,
        store=parts.store,
        quarantine=parts.registry.verifying.quarantine,
        snapshot=functools.partial(_snapshot, config.state),
        turn=functools.partial(parts.locks.turn, COLLECTION, patience=_PATIENCE),
        keys=functools.partial(asyncio.to_thread, pack_keys, config.state),
        version=entrepot.__version__,
        require_ready=functools.partial(_require_adopted, metadata),
    )


@asynccontextmanager
async def _snapshot(state: Path) -> AsyncIterator[Snapshot]:
    path = state / _SNAPSHOT
    await asyncio.to_thread(copy_database, state / METADATA_NAME, path)
    try:
        database = SqliteDatabase(path, Durability.NORMAL)
        try:
            yield Snapshot(database, path)
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(_remove_all, state, f"{_SNAPSHOT}*")


def _remove_all(folder: Path, pattern: str) -> None:
    for leftover in folder.glob(pattern):
        leftover.unlink(missing_ok=True)


async def restore_backup(
    pieces: Pieces, backup_id: str, folder: Path, progress: Progress, *, incomplete: bool, keep_storage: bool
) -> Restored:
    """Bring a backup back into a folder: an empty one, or one that has lost its metadata and still has its storage.

    Raises:
        BackupIncomplete: Pieces are missing or damaged; they are named.
        FolderInUse: There is something else in the folder.
        NoBackup: There is no such backup.
    """
    info = await Catalogue(pieces).get(backup_id)
    await asyncio.to_thread(require_free, folder, keep_storage=keep_storage)
    sink = await asyncio.to_thread(BulkBlobs, folder)
    try:
        restored = await Restoration(pieces, info, folder / OWN, sink, progress, incomplete=incomplete).run()
    finally:
        sink.close()
    await asyncio.to_thread(leave_note, folder)
    if not keep_storage:
        await _write_files(folder, progress)
    return restored


async def _write_files(folder: Path, progress: Progress) -> None:
    await progress.say("writing registry:2's files")
    async with _opened(folder) as metadata:
        await Projector(metadata, TreeFiles(folder)).run()
        await Comparison(metadata, Tree(folder), TreeFiles(folder)).write()
        await ForeignWrites(metadata, Tree(folder)).remember()


async def find_newer(folder: Path) -> Newer:
    """Say how much a kept storage has otherwise than the metadata that were brought back."""
    async with _opened(folder) as metadata:
        await _leave_files(metadata)
        found = await Comparison(metadata, Tree(folder), TreeFiles(folder)).check()
    return Newer(differences=sum(difference.kind is not DifferenceKind.MISSING for difference in found.differences))


async def take_newer(folder: Path, progress: Progress) -> Newer:
    """Take in what a kept storage has otherwise than the metadata: it was pushed after the backup."""
    await progress.say("taking in what was pushed after the backup")
    async with _opened(folder) as metadata:
        await _leave_files(metadata)
        tree = Tree(folder)
        intake = Intake(metadata, tree, FileLocks(folder / OWN))
        taken = await Delta(intake, ReportFile(folder)).run()
        await ForeignWrites(metadata, tree).settle()
        await Comparison(metadata, tree, TreeFiles(folder)).write()
    return Newer(repositories=taken.total, manifests=taken.manifests, tags=taken.tags)


async def _leave_files(metadata: Database) -> None:
    """Write nothing over the files: what was to be written then has been, and perhaps something newer since."""
    await metadata.write(lambda tx: outbox.forget(tx, outbox.FILES), name="leave the files")


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[Database]:
    stores = await open_embedded(folder / OWN)
    try:
        yield stores.metadata
    finally:
        await stores.close()
