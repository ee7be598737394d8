"""A registry put together from what its configuration names, as one process has it.

databases          blobs           what only a folder has: registry:2's files, the server's own file path
SQLite             a folder        yes
PostgreSQL         a folder        yes
PostgreSQL         object store    no
SQLite             object store    no; `metadata.folder` says where the databases are

What registry:2 left is adopted in place in all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path

from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.foreign_objects import ForeignObjects
from entrepot.adoption.gate import FolderGate
from entrepot.adoption.intake import Intake
from entrepot.adoption.note import leave_note
from entrepot.adoption.ports import ForeignWatch
from entrepot.adoption.report import Report, ReportFile
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.bootstrap.databases import opened_databases, opened_locks, secret_key_of
from entrepot.bootstrap.storage import Objects, Storage, opened_storage
from entrepot.config import Config
from entrepot.lifecycle.collection.model import Theirs, nobodys
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.quotas import RoomInTrash
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata.changes import READ_ONLY, Changes, Follower
from entrepot.metadata.database import Database
from entrepot.metadata.opening import Stores, unclean_stop
from entrepot.projection.files import TreeFiles
from entrepot.registry.locks import Locks
from entrepot.registry.ports import BlobStore, LocalFiles
from entrepot.registry.read_only import ReadOnlySwitch
from entrepot.registry.service import Registry, Watch, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.suspect_blobs import Suspicion
from entrepot.system.configuration import Configuration
from entrepot.system.from_config import fixed_values
from entrepot.system.volumes import Volume, volume_of
from entrepot.telemetry.instruments import Metrics
from entrepot.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The taking over of what registry:2 left, in a folder or a bucket."""

    intake: Intake
    foreign: ForeignWatch
    report: Report  #: what was broken
    #: Says which files without a row another registry has put there.
    theirs: Theirs = nobodys


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What only a registry has whose blobs lie in a folder."""

    root: Path
    tree: Tree  #: what another registry may have left there
    files: TreeFiles  #: the links that are written for registry:2
    intake: Intake
    foreign: ForeignWrites
    report: ReportFile  #: what was broken when it was adopted

    @property
    def adoption(self) -> Adoption:
        """Give the taking over of the folder."""
        return Adoption(intake=self.intake, foreign=self.foreign, report=self.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The parts of a registry, as one process has them."""

    config: Config
    stores: Stores
    store: BlobStore
    files: LocalFiles | None  #: where blobs are files that the server can send by itself
    objects: Objects  #: how blobs are called outside
    folder: Folder | None  #: where the blobs lie in one
    adoption: Adoption | None  #: where registry:2 may have left something
    locks: Locks
    read_only: ReadOnlySwitch
    registry: Registry
    vault: Vault


@contextlib.asynccontextmanager
async def deployment(
    config: Config, metrics: Metrics, *, began_ns: int | None = None, for_requests: bool = False
) -> AsyncIterator[Deployment]:
    """Open the registry that the configuration names.

    Args:
        config: Which it is.
        metrics: Where what it does is counted.
        began_ns: When a server began, if this is one.
        for_requests: Whether it answers requests, for which no database is waited for long.
    """
    if config.has_folder:
        require_rights(config.data)
    source = secret_key_of(config)
    source.check()
    async with contextlib.AsyncExitStack() as stack:
        stores = await stack.enter_async_context(opened_databases(config, metrics, for_requests=for_requests))
        vault = Vault(stores.metadata, source)
        if config.on_server:
            await vault.require_key()  # a node that could open nothing would be found out by people
        locks = await stack.enter_async_context(opened_locks(config))
        folder = folder_of(config, stores.metadata, locks, began_ns) if config.has_folder else None
        if folder is not None:
            leave_note(folder.root)
        storage = await stack.enter_async_context(opened_storage(config, stores, metrics))
        read_only = ReadOnlySwitch(stores.metadata, configured=config.storage.maintenance.readonly.enabled)
        await read_only.look()
        room = RoomInTrash(stores.metadata)
        # What a power cut may take from a disk, an object store has kept.
        unclean_at = 0 if folder is None else await unclean_stop(stores.metadata)
        settings = _settings(config, stores, read_only, room, unclean_at=unclean_at)
        adoption = folder.adoption if folder is not None else bucket_adoption(storage, stores.metadata, locks)
        if adoption is not None:
            await prepare(stores.metadata, adoption.intake.tree)
        registry = build_registry(
            metadata=stores.metadata,
            work=stores.work,
            store=storage.store,
            settings=settings,
            gate=None if adoption is None else FolderGate(adoption.intake, adoption.report),
            watch=_watch(metrics),
        )
        room.use(Expiry(stores.metadata, settings, registry.project_deletion))
        yield Deployment(
            config=config,
            stores=stores,
            store=storage.store,
            files=storage.files,
            objects=storage.objects,
            folder=folder,
            adoption=adoption,
            locks=locks,
            read_only=read_only,
            registry=registry,
            vault=vault,
        )


def folder_of(config: Config, metadata: Database, locks: Locks, began_ns: int | None = None) -> Folder:
    """Give what only a folder has.

    Raises:
        ValueError: The blobs lie in an object store.
    """
    tree = Tree(config.data)
    return Folder(
        root=config.data,
        tree=tree,
        files=TreeFiles(config.data, locks),
        intake=Intake(metadata, tree, locks),
        foreign=ForeignWrites(metadata, tree, began_ns),
        report=ReportFile(config.data),
    )


def bucket_adoption(storage: Storage, metadata: Database, locks: Locks) -> Adoption | None:
    """Give the taking over of a bucket; None where the blobs lie in none."""
    if storage.bucket is None:
        return None
    from entrepot.adapters.trees.bucket import BucketTree  # noqa: PLC0415 - not where blobs are files
    from entrepot.adapters.trees.bucket_report import BucketReport  # noqa: PLC0415 - as above

    tree = BucketTree(storage.bucket)
    foreign = ForeignObjects(metadata, tree)
    return Adoption(
        intake=Intake(metadata, tree, locks),
        foreign=foreign,
        report=BucketReport(storage.bucket),
        theirs=foreign.theirs,
    )


def _settings(
    config: Config, stores: Stores, read_only: ReadOnlySwitch, room: RoomInTrash, *, unclean_at: int
) -> RegistrySettings:
    return RegistrySettings(
        delete_enabled=config.storage.delete.enabled,
        read_only=read_only,
        has_room=(lambda _size: True) if stores.ballast is None else stores.ballast.has_room,
        requires_platform=config.validation.manifests.indexes.require,
        permits_url=config.validation.permits_url,
        classes=frozenset(config.policy.repository.classes),
        grace_seconds=config.lifecycle.grace,
        trash_seconds=config.lifecycle.trash,
        tag_rules=ImmutableTags(),
        make_room=room,
        suspicion=Suspicion(age=config.integrity.age, unclean_stop=unclean_at),
    )


def _watch(metrics: Metrics) -> Watch:
    """Count what the registry notices about stored bytes."""
    found = metrics.counter("entrepot_damage_found", "Damaged or lost bytes that were found.", ("kind", "by"))
    verified = metrics.counter("entrepot_suspect_blobs_verified", "Suspect blobs found whole while they were sent.")
    return Watch(on_found=found.inc, on_verified=verified.inc)


def configuration_of(parts: Deployment) -> Configuration:
    """Give what the registry is set to while it runs."""
    return Configuration(parts.stores.metadata, parts.vault, fixed_values(parts.config))


def watching(parts: Deployment, **followers: Follower) -> Awaitable[None]:
    """Give what keeps a process true to what others change: the switch for maintenance, and what else it follows.

    `followers` are called by the names of `metadata.changes`; on SQLite, where nobody counts, never.
    """
    if not parts.config.on_server:
        return parts.read_only.watch()
    changes = Changes(parts.stores.metadata)
    for name, changed in {READ_ONLY: parts.read_only.look, **followers}.items():
        changes.follow(name, changed)
    return changes.run()


async def space_of(parts: Deployment) -> Volume:
    """Look at the disk below the blobs; an object store has none, and says 0 of both."""
    return Volume(total=0, free=0) if parts.folder is None else await volume_of(parts.folder.root)


@contextlib.asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[None]:
    """Let something run beside the body, and end it after."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
