"""Brings backups back: into a folder, or to where a configuration says that database and blobs are."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from entrepot.access.tokens import signing_keys
from entrepot.adapters.blobs.bulk import BulkBlobs
from entrepot.adoption.delta import Delta
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.intake import Intake
from entrepot.adoption.note import leave_note
from entrepot.adoption.report import ReportFile
from entrepot.adoption.tree import Tree
from entrepot.backup.catalogue import Catalogue
from entrepot.backup.errors import FolderInUse
from entrepot.backup.ports import BlobSink
from entrepot.backup.restore import Restoration, Restored
from entrepot.backup.restore_folders import require_free
from entrepot.backup.sealed_pieces import Pieces
from entrepot.bootstrap.database_move import opened_target
from entrepot.bootstrap.databases import secret_key_of
from entrepot.bootstrap.storage import Bucket, opened_bucket
from entrepot.config import Config
from entrepot.metadata.database import Database
from entrepot.metadata.jobs import outbox
from entrepot.metadata.move.sides import Target
from entrepot.metadata.move.sqlite_side import SqliteSource
from entrepot.metadata.move.steps import copy_at_once
from entrepot.metadata.opening import open_embedded
from entrepot.projection.comparison import Comparison, DifferenceKind
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.layout import OWN
from entrepot.telemetry.progress import Progress
from entrepot.vault.vault import Vault

#: Raises where metadata do not belong to a place.
_Check = Callable[[Database], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Newer:
    """What a storage has that the metadata that were brought back do not know."""

    differences: int = 0  #: things that differ, when nothing was taken in
    repositories: int = 0  #: looked at
    manifests: int = 0  #: taken in
    tags: int = 0  #: taken in or moved


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
        await _write_files(folder, folder / OWN, progress)
    return restored


async def restore_registry(
    config: Config, pieces: Pieces, backup_id: str, progress: Progress, *, incomplete: bool, keep_storage: bool
) -> Restored:
    """Bring a backup back to where a configuration says: an empty database, and an empty folder or bucket.

    With PostgreSQL the metadata are made whole in a temporary folder first, and until they are there no node starts on
    the database. `keep_storage` goes on with blobs that are there; what is wrong among them is written again.

    Raises:
        BackupIncomplete: Pieces are missing or damaged; they are named.
        DatabaseError: The database cannot be used, or there is a registry in it.
        FolderInUse: There is something else in the folder or bucket.
        NoBackup: There is no such backup.
        StorageUnusable: The bucket cannot be used, or is another registry's.
        VaultError: The secret key is not the one that the backup's secrets are sealed with.
    """
    info = await Catalogue(pieces).get(backup_id)
    name = f"backup {info.id}"
    async with AsyncExitStack() as stack:
        target = None
        if config.on_server:
            secret_key_of(config).check()
            target = await stack.enter_async_context(opened_target(config.database_urls()[1]))
            await target.begin(name, anew=True)
        state = await stack.enter_async_context(_state_of(config))
        sink, check = await stack.enter_async_context(_opened_sink(config, keep_storage=keep_storage))
        checks = [check]
        if target is not None:
            checks.insert(0, functools.partial(_require_key, config))
        restoration = Restoration(
            pieces, info, state, sink, progress, incomplete=incomplete, check=functools.partial(_all, checks)
        )
        restored = await restoration.run()
        if config.has_folder and not keep_storage:
            await _write_files(config.data, state, progress)
        if target is not None:
            await _fill(target, state, config, name, progress)
        return restored
    raise AssertionError  # the stack swallows nothing


@asynccontextmanager
async def _state_of(config: Config) -> AsyncIterator[Path]:
    """Give the folder for SQLite's files: the registry's own, or a temporary one where they go on to PostgreSQL."""
    if not config.on_server:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield config.state
        return
    with tempfile.TemporaryDirectory(prefix="entrepot-restore-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@asynccontextmanager
async def _opened_sink(config: Config, *, keep_storage: bool) -> AsyncIterator[tuple[BlobSink, _Check]]:
    """Open the place of the blobs, and give what looks whether it is that of these metadata."""
    if not config.has_folder:
        from entrepot.adapters.backups.restored_bucket import RestoredBucket  # noqa: PLC0415 - not of a folder

        async with opened_bucket(config) as bucket:
            if not keep_storage:
                await _require_empty(bucket)
            yield RestoredBucket(bucket.store), bucket.take
        return
    await asyncio.to_thread(require_free, config.data, keep_storage=keep_storage)
    folder = await asyncio.to_thread(BulkBlobs, config.data)
    try:
        yield folder, _nothing
    finally:
        folder.close()
    await asyncio.to_thread(leave_note, config.data)


async def _require_empty(bucket: Bucket) -> None:
    async for found in bucket.store.cloud.list(""):
        raise FolderInUse(
            f"{bucket.where} is not empty: there is {found.name} in it; name another rootdirectory, or, if these are "
            "this registry's blobs, or a restoration was stopped, add --keep-storage"
        )


async def _require_key(config: Config, metadata: Database) -> None:
    """See that what is sealed can be opened on the nodes, before the first blob."""
    await Vault(metadata, secret_key_of(config)).require_key()


async def _all(checks: list[_Check], metadata: Database) -> None:
    for check in checks:
        await check(metadata)


async def _nothing(_metadata: Database) -> None:
    """Look at nothing: a folder is nobody's."""


async def _fill(target: Target, state: Path, config: Config, name: str, progress: Progress) -> None:
    """Bring the metadata into PostgreSQL, with the keys that sign tokens."""
    async with _opened(state) as metadata:
        await signing_keys.seal_files(state / "keys", metadata, Vault(metadata, secret_key_of(config)))
    await progress.say("bringing the metadata into PostgreSQL")
    async with SqliteSource(state).snapshot() as snapshot:
        await copy_at_once(snapshot, target, name, progress)


async def _write_files(folder: Path, state: Path, progress: Progress) -> None:
    await progress.say("writing registry:2's files")
    async with _opened(state) as metadata:
        await Projector(metadata, TreeFiles(folder)).run()
        await Comparison(metadata, Tree(folder), TreeFiles(folder)).write()
        await ForeignWrites(metadata, Tree(folder)).remember()


async def find_newer(folder: Path) -> Newer:
    """Say how much a kept storage has otherwise than the metadata that were brought back."""
    async with _opened(folder / OWN) as metadata:
        await _leave_files(metadata)
        found = await Comparison(metadata, Tree(folder), TreeFiles(folder)).check()
    return Newer(differences=sum(difference.kind is not DifferenceKind.MISSING for difference in found.differences))


async def take_newer(folder: Path, progress: Progress) -> Newer:
    """Take in what a kept storage has otherwise than the metadata: it was pushed after the backup."""
    await progress.say("taking in what was pushed after the backup")
    async with _opened(folder / OWN) as metadata:
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
async def _opened(state: Path) -> AsyncIterator[Database]:
    stores = await open_embedded(state)
    try:
        yield stores.metadata
    finally:
        await stores.close()
