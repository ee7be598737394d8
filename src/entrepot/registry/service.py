"""The registry, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entrepot.metadata.database import Database
from entrepot.registry.adoption import AdoptionGate, NothingToAdopt
from entrepot.registry.blobs import Blobs
from entrepot.registry.catalog import Catalog
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.lookup import Lookup
from entrepot.registry.manifest_copy import Copying
from entrepot.registry.manifests import Manifests
from entrepot.registry.ports import BlobStore
from entrepot.registry.project_deletion import ProjectDeletion
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.referrers import Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.small_blobs import SmallBlobs
from entrepot.registry.tags import Tags
from entrepot.registry.uploads import Uploads
from entrepot.registry.verification import Verifying


def _ignore_finding(_kind: str, _by: str) -> None:
    """Count nothing."""


def _ignore_verified() -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told what the registry notices about stored bytes."""

    on_found: Callable[[str, str], None] = _ignore_finding  #: the kind of what is damaged or lost, and who found it
    on_verified: Callable[[], None] = _ignore_verified  #: a suspect blob was verified on its way out, and is whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One service per noun; each method is one request's work."""

    blobs: Blobs
    small_blobs: SmallBlobs
    uploads: Uploads
    manifests: Manifests
    tags: Tags
    referrers: Referrers
    catalog: Catalog
    repositories: Repositories
    project_deletion: ProjectDeletion
    copying: Copying
    lookup: Lookup
    settings: RegistrySettings
    verifying: Verifying


def build_registry(
    *,
    metadata: Database,
    work: Database,
    store: BlobStore,
    settings: RegistrySettings,
    gate: AdoptionGate | None = None,
    watch: Watch | None = None,
) -> Registry:
    """Put the services together over a metadata and a work database and a blob store."""
    watch = watch or Watch()
    quarantine = Quarantine(metadata, store, settings.read_only, watch.on_found)
    gate = gate or NothingToAdopt()
    lookup = Lookup(metadata, gate)
    contents = ContentCache()
    blobs = Blobs(metadata, lookup, settings)
    manifests = Manifests(metadata, lookup, settings, contents, quarantine)
    referrers = Referrers(metadata, lookup)
    repositories = Repositories(metadata, lookup, settings)
    return Registry(
        blobs=blobs,
        small_blobs=SmallBlobs(store, contents, quarantine),
        uploads=Uploads(metadata, work, store, lookup, settings),
        manifests=manifests,
        tags=Tags(metadata, lookup),
        referrers=referrers,
        catalog=Catalog(metadata, gate),
        repositories=repositories,
        project_deletion=ProjectDeletion(metadata, repositories, settings),
        copying=Copying(manifests, blobs, referrers),
        lookup=lookup,
        settings=settings,
        verifying=Verifying(
            metadata=metadata,
            store=store,
            suspicion=settings.suspicion,
            quarantine=quarantine,
            on_verified=watch.on_verified,
        ),
    )
