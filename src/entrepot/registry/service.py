"""The registry, put together."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata.database import Database
from entrepot.registry.adoption import AdoptionGate, NothingToAdopt
from entrepot.registry.blobs import Blobs
from entrepot.registry.catalog import Catalog
from entrepot.registry.content_cache import ContentCache
from entrepot.registry.copying import Copying
from entrepot.registry.lookup import Lookup
from entrepot.registry.manifests import Manifests
from entrepot.registry.ports import BlobStore
from entrepot.registry.referrers import Referrers
from entrepot.registry.repositories import Repositories
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.small_blobs import SmallBlobs
from entrepot.registry.tags import Tags
from entrepot.registry.uploads import Uploads


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
    copying: Copying
    lookup: Lookup


def build_registry(
    *,
    metadata: Database,
    work: Database,
    store: BlobStore,
    settings: RegistrySettings,
    gate: AdoptionGate | None = None,
) -> Registry:
    """Put the services together over a metadata and a work database and a blob store."""
    gate = gate or NothingToAdopt()
    lookup = Lookup(metadata, gate)
    contents = ContentCache()
    blobs = Blobs(metadata, lookup, settings)
    manifests = Manifests(metadata, lookup, settings, contents)
    referrers = Referrers(metadata, lookup)
    return Registry(
        blobs=blobs,
        small_blobs=SmallBlobs(store, contents),
        uploads=Uploads(metadata, work, store, lookup, settings),
        manifests=manifests,
        tags=Tags(metadata, lookup),
        referrers=referrers,
        catalog=Catalog(metadata, gate),
        repositories=Repositories(metadata, lookup, settings),
        copying=Copying(manifests, blobs, referrers),
        lookup=lookup,
    )
