"""The registry of `tests/contracts/registry`, with what people ask about its space."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from entrepot.insight.deletion_choice import Chosen, Part
from entrepot.insight.freed_bytes import Freeing, OnDisk, WouldFree
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.manifest_removal import following
from entrepot.lifecycle.collection.model import Collecting
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.conftest import Kit, kit, postgres_url
from tests.contracts.registry.pushing import ALICE, NAME, Pusher

__all__ = ["kit", "postgres_url"]


@asynccontextmanager
async def unshared() -> AsyncIterator[None]:
    """Give the turn to take bytes away where nobody else is."""
    yield


@dataclass(frozen=True, slots=True)
class World:
    """A registry in which every grace is over at once, and its collector."""

    kit: Kit
    settings: RegistrySettings

    @classmethod
    def of(cls, kit: Kit, *, trash_seconds: float = 0.0) -> World:
        """Build it."""
        settings = RegistrySettings(grace_seconds=0.0, trash_seconds=trash_seconds, tag_rules=ImmutableTags())
        return cls(kit, settings)

    @property
    def registry(self) -> Registry:
        """The registry."""
        kit = self.kit
        return build_registry(metadata=kit.metadata, work=kit.work, store=kit.store, settings=self.settings)

    def pusher(self, name: str = NAME) -> Pusher:
        """Somebody who pushes to a repository."""
        return Pusher(self.registry, RepositoryName.parse(name))

    async def repository(self, name: str = NAME) -> RepositoryRecord:
        """Return a repository."""
        found = await repositories.find_exact(self.kit.metadata, name)
        assert found is not None
        return found

    async def project(self, name: str = "team") -> ProjectRecord:
        """Return a project."""
        found = await projects.find(self.kit.metadata, name)
        assert found is not None
        return found

    async def would_free(self, chosen: Chosen) -> WouldFree:
        """Ask what a deletion would bring."""
        return await Freeing(self.kit.metadata, self.settings.tag_rules).would_free(chosen, disk=True)

    async def of_tags(self, *tags: str, name: str = NAME) -> WouldFree:
        """Ask about tags of a repository."""
        return await self.would_free(Chosen(parts=[Part(repository=await self.repository(name), tags=tags)]))

    async def delete(self, chosen: Chosen) -> None:
        """Delete what was chosen, as somebody would who does not mind the order."""
        registry = self.registry
        for repository in chosen.repositories:
            await registry.repositories.delete(RepositoryName.parse(repository.name), actor=ALICE)
        for project in chosen.projects:
            await registry.project_deletion.delete(project, actor=ALICE, with_repositories=True)
        for part in chosen.parts:
            await self._delete_part(part)

    async def _delete_part(self, part: Part) -> None:
        name = RepositoryName.parse(part.repository.name)
        digests = {Digest.parse(digest) for digest in part.digests}
        for tag in part.tags:
            found = await self.registry.manifests.get(name, Tag.parse(tag), content=False)
            await self.registry.manifests.delete(name, Tag.parse(tag), actor=ALICE)
            if not await self._tags(name, found.digest):
                digests.add(found.digest)
        refused = len(digests) + 1
        while len(digests) < refused:  # an index goes before what it lists
            refused = len(digests)
            digests = {digest for digest in digests if not await self._deleted(name, digest)}

    async def _tags(self, name: str, digest: Digest) -> int:
        query = RawQuery(
            "SELECT count(*) FROM tags AS t JOIN manifests AS m ON m.id = t.manifest_id "
            "JOIN repositories AS r ON r.id = m.repository_id "
            f"WHERE m.digest = '{digest}' AND r.name = '{name}'"
        )
        row = await self.kit.metadata.one(query)
        assert row is not None
        return int(row[0])

    async def _deleted(self, name: RepositoryName, digest: Digest) -> bool:
        try:
            await self.registry.manifests.delete(name, digest, actor=ALICE)
        except Denied:
            return False
        return True

    async def finish(self) -> None:
        """Empty the trash and collect, until nothing changes any more."""
        before: tuple[int, int, int] | None = None
        expiry = Expiry(self.kit.metadata, self.settings, self.registry.project_deletion)
        work = Collecting(
            metadata=self.kit.metadata,
            store=self.kit.store,
            grace_seconds=0.0,
            turn=unshared,
            leave=following(self.settings),
        )
        while before != (now := (*await self.stored(), await self.waiting())):
            before = now
            await expiry.expire(Unwatched(), everything=True)
            await Collector(work).run(Unwatched())

    async def stored(self) -> tuple[int, int]:
        """Return how many bytes blobs and manifests have."""
        row = await self.kit.metadata.one(RawQuery("SELECT coalesce(sum(length(content)), 0) FROM manifest_contents"))
        assert row is not None
        return sum([one.size async for one in self.kit.store.keys()]), int(row[0])

    async def waiting(self) -> int:
        """Count what a collection is still to look at."""
        row = await self.kit.metadata.one(RawQuery("SELECT count(*) FROM review_queue"))
        assert row is not None
        return int(row[0])


def on_disk(told: WouldFree) -> OnDisk:
    """Return what was told of the storage."""
    assert told.on_disk is not None
    return told.on_disk


@pytest.fixture
def world(kit: Kit) -> World:
    """A registry with nothing in it, whose trash keeps nothing."""
    return World.of(kit)
