"""What collection and the trash work with."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

from entrepot.adoption.collectable import Collectable
from entrepot.bootstrap.deployment import Adoption, Deployment, deployment
from entrepot.config import Config
from entrepot.lifecycle.collection.full_collection import EmptyTrash, FromTrash, Request, Result, WholeCollection
from entrepot.lifecycle.collection.manifest_removal import following
from entrepot.lifecycle.collection.model import Collecting, CollectionLimits, NoLinks, nobody, nobodys
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata import clock_check
from entrepot.projection.projector import Forerunner, Projector
from entrepot.registry.locks import COLLECTION
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress

#: Seconds for which a collection waits for another process that is at the bytes.
_PATIENCE: Final = 60.0
_DELETES_AT_ONCE: Final = 16
_DELETES_TOGETHER: Final = 1000


def collection_of(parts: Deployment) -> Collecting:
    """Give what a collection of this registry works with."""
    config, folder = parts.config, parts.folder
    return Collecting(
        metadata=parts.stores.metadata,
        store=parts.store,
        grace_seconds=config.lifecycle.grace,
        turn=functools.partial(parts.locks.turn, COLLECTION, patience=_PATIENCE),
        leave=following(parts.registry.manifests.settings),
        links=NoLinks() if folder is None else Forerunner(Projector(parts.stores.metadata, folder.files)),
        gate=removal_gate(parts),
        swept=nobody if folder is None else folder.foreign.remember,
        theirs=nobodys if parts.adoption is None else parts.adoption.theirs,
        limits=CollectionLimits(
            rate=config.lifecycle.collection.rate,
            # An object store takes them all in one request.
            deletes=_DELETES_TOGETHER if parts.store.has_state else _DELETES_AT_ONCE,
        ),
    )


def removal_gate(parts: Deployment) -> Callable[[], Awaitable[str | None]]:
    """Give what says why nothing may be taken away now."""
    collectable = None if parts.adoption is None else _collectable(parts.adoption)

    async def gate() -> str | None:
        if parts.read_only():
            return "the registry is read-only"
        doubt = await clock_check.reason(parts.stores.metadata)
        return doubt or (None if collectable is None else await collectable.reason())

    return gate


def _collectable(adoption: Adoption) -> Collectable:
    return Collectable(adoption.intake, adoption.report, adoption.foreign)


def expiry_of(parts: Deployment) -> Expiry:
    """Give what empties the trash."""
    registry = parts.registry
    return Expiry(parts.stores.metadata, registry.manifests.settings, registry.project_deletion)


def whole_collection_of(parts: Deployment) -> WholeCollection:
    """Give what collects all that can be collected now."""
    quarantine = parts.registry.verifying.quarantine
    return WholeCollection(collection_of(parts), quarantine, emptying_of(parts))


def emptying_of(parts: Deployment) -> EmptyTrash:
    """Give what empties the trash for a collection."""
    expiry = expiry_of(parts)

    async def empty_trash(progress: Progress, *, everything: bool, dry_run: bool = False) -> FromTrash:
        if dry_run:
            return FromTrash(await expiry.due(everything=everything))
        done = await expiry.expire(progress, everything=everything)
        return FromTrash(done.entries, done.manifests)

    return empty_trash


async def collect(config: Config, request: Request, progress: Progress, result: Result) -> None:
    """Collect on a data folder, beside a running server or without one; what was done is in `result`.

    Raises:
        CollectionOff: Nothing may be collected now.
        TimeoutError: Another process has the turn and does not give it back.
    """
    async with deployment(config, Metrics()) as parts:
        if not request.dry_run:
            await clock_check.look_once(parts.stores.metadata)
        await whole_collection_of(parts).run(request, progress, result)


async def accept_damage(config: Config) -> int:
    """Let go of what could not be read when a folder was adopted; return how many things that are."""
    async with deployment(config, Metrics()) as parts:
        return 0 if parts.adoption is None else await _collectable(parts.adoption).accept()
