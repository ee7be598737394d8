"""A registry in one folder: SQLite for the metadata, files for the blobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.timed_store import MeasuredBlobStore
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.gate import FolderGate
from entrepot.adoption.intake import Intake
from entrepot.adoption.note import leave_note
from entrepot.adoption.report import ReportFile
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.config import Config
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.quotas import RoomInTrash
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata.opening import Stores, open_embedded, unclean_stop
from entrepot.registry import layout
from entrepot.registry.ports import BlobStore, LocalFiles
from entrepot.registry.read_only import ReadOnlySwitch
from entrepot.registry.service import Registry, Watch, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.suspect_blobs import Suspicion
from entrepot.system.configuration import Configuration
from entrepot.system.from_config import fixed_values
from entrepot.system.volumes import standing
from entrepot.telemetry.instruments import Metrics
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The parts of a registry in one folder, as one process has them."""

    config: Config
    stores: Stores
    store: BlobStore
    files: LocalFiles
    read_only: ReadOnlySwitch
    registry: Registry
    intake: Intake
    foreign: ForeignWrites
    vault: Vault


@contextlib.asynccontextmanager
async def embedded(config: Config, metrics: Metrics, *, began_ns: int | None = None) -> AsyncIterator[Embedded]:
    """Open a registry in the folder that the configuration names; `began_ns` is when a server began, if this is one."""
    require_rights(config.data)
    async with contextlib.AsyncExitStack() as stack:
        stores = await open_embedded(config.state)
        stack.push_async_callback(stores.close)
        leave_note(config.data)
        files = FilesystemBlobStore(config.data, threads=config.file_operations, has_room=_room_of(config, stores))
        stack.callback(files.close)
        store = MeasuredBlobStore(files, metrics, "filesystem")
        read_only = ReadOnlySwitch(stores.metadata, configured=config.storage.maintenance.readonly.enabled)
        await read_only.look()
        room = RoomInTrash(stores.metadata)
        settings = RegistrySettings(
            delete_enabled=config.storage.delete.enabled,
            read_only=read_only,
            has_room=stores.ballast.has_room,
            requires_platform=config.validation.manifests.indexes.require,
            permits_url=config.validation.permits_url,
            classes=frozenset(config.policy.repository.classes),
            grace_seconds=config.lifecycle.grace,
            trash_seconds=config.lifecycle.trash,
            tag_rules=ImmutableTags(),
            make_room=room,
            suspicion=Suspicion(age=config.integrity.age, unclean_stop=await unclean_stop(stores.metadata)),
        )
        intake = Intake(stores.metadata, Tree(config.data))
        await prepare(intake.metadata, intake.tree)
        registry = build_registry(
            metadata=stores.metadata,
            work=stores.work,
            store=store,
            settings=settings,
            gate=FolderGate(intake, ReportFile(config.data)),
            watch=_watch(metrics),
        )
        room.use(Expiry(stores.metadata, settings, registry.project_deletion))
        source = KeySource(config.state, os.environ)
        source.check()
        yield Embedded(
            config=config,
            stores=stores,
            store=store,
            files=files,
            read_only=read_only,
            registry=registry,
            intake=intake,
            foreign=ForeignWrites(stores.metadata, intake.tree, began_ns),
            vault=Vault(stores.metadata, source),
        )


def _room_of(config: Config, stores: Stores) -> Callable[[int], bool]:
    """Give what says whether there is room for blobs: their disk may be another than that of the databases."""
    uploads = config.data / layout.UPLOADS
    if standing(uploads).stat().st_dev != config.state.stat().st_dev:
        return lambda _size: True
    return stores.ballast.has_room


def _watch(metrics: Metrics) -> Watch:
    """Count what the registry notices about stored bytes."""
    found = metrics.counter("entrepot_damage_found", "Damaged or lost bytes that were found.", ("kind", "by"))
    verified = metrics.counter("entrepot_suspect_blobs_verified", "Suspect blobs found whole while they were sent.")
    return Watch(on_found=found.inc, on_verified=verified.inc)


def configuration_of(parts: Embedded) -> Configuration:
    """Give what the registry is set to while it runs."""
    return Configuration(parts.stores.metadata, parts.vault, fixed_values(parts.config))


@contextlib.asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[None]:
    """Let something run beside the body, and end it after."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
