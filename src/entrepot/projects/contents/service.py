"""The use cases about what repositories hold, put together."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.policy import Policy
from entrepot.metadata.database import Database
from entrepot.projects.contents.additions import Additions
from entrepot.projects.contents.artifacts import Artifacts
from entrepot.projects.contents.changes import Changes
from entrepot.projects.contents.descriptions import Describing
from entrepot.projects.contents.names import Names
from entrepot.projects.contents.repositories import Repositories
from entrepot.projects.contents.small_blobs import SmallBlobs
from entrepot.registry.ports import BlobStore
from entrepot.registry.service import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One service for each noun."""

    names: Names
    repositories: Repositories
    artifacts: Artifacts
    additions: Additions
    changes: Changes


def build_contents(metadata: Database, registry: Registry, store: BlobStore, policy: Policy) -> Contents:
    """Put the services together over a registry and its blobs."""
    blobs = SmallBlobs(store)
    names = Names(metadata, registry.lookup)
    artifacts = Artifacts(
        metadata, Describing(metadata, registry.manifests, blobs, registry.manifests.settings.tag_rules)
    )
    return Contents(
        names=names,
        artifacts=artifacts,
        repositories=Repositories(
            metadata=metadata,
            policy=policy,
            gate=registry.lookup.gate,
            names=names,
            artifacts=artifacts,
            registry=registry.repositories,
        ),
        additions=Additions(metadata, registry.manifests, blobs),
        changes=Changes(metadata=metadata, manifests=registry.manifests, copying=registry.copying),
    )
