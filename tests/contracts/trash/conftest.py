"""A registry whose trash keeps things, over each database, and somebody who uses it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from entrepot.access.policy import Policy
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.lifecycle.immutability.rules import ImmutableRules, RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.lifecycle.tag_history import TagHistory
from entrepot.lifecycle.trash.expiry import Expired, Expiry
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.purge import Purger, Purging
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.lifecycle.trash.service import Trash
from entrepot.metadata import clock
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.tables import review_queue
from entrepot.metadata.tables import trash as table
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.dependents import follow
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Unwatched
from tests.contracts.registry.conftest import Kit, kit, postgres_url
from tests.contracts.registry.pushing import ALICE, NAME, Pusher

__all__ = ["kit", "postgres_url"]

DAY = 24 * 3600.0
WEEK = 7 * DAY
_ALL = Query(select(table.c.id).order_by(table.c.id), "test.trash")
_AGE = Query(
    update(table).values(
        expires_at=table.c.expires_at - bindparam("by"), deleted_at=table.c.deleted_at - bindparam("by")
    ),
    "test.age_trash",
)
_END_GRACE = RawQuery("UPDATE repository_blobs SET lapses_at = 1 WHERE lapses_at IS NOT NULL")
_REVIEW = Query(select(review_queue.c.kind, review_queue.c.subject_id).order_by(review_queue.c.id), "test.review")


@dataclass(kw_only=True)
class Bin:
    """A registry with a trash, and all that can be done with that."""

    kit: Kit
    registry: Registry
    settings: RegistrySettings

    @property
    def database(self) -> Database:
        """The metadata."""
        return self.kit.metadata

    @property
    def expiry(self) -> Expiry:
        """What empties it."""
        return Expiry(self.database, self.settings, self.registry.project_deletion)

    @property
    def purging(self) -> Purging:
        """What purges."""
        return Purging(self.database, self.settings, self.registry.project_deletion, self.expiry)

    @property
    def trash(self) -> Trash:
        """What people use."""
        return Trash(
            metadata=self.database,
            policy=Policy(self.database, max_age=0),
            settings=self.settings,
            expiry=self.expiry,
            restoring=self.restoring,
            purging=self.purging,
        )

    async def end_grace(self) -> None:
        """Let the time be over for which deleted images' blobs are still read."""
        await self.database.write(lambda tx: tx.execute(_END_GRACE))

    def purger(self, reason: str = "") -> Purger:
        """Somebody who purges."""
        return Purger(actor=ALICE, reason=reason)

    @property
    def history(self) -> TagHistory:
        """What tags pointed at."""
        return TagHistory(self.database, self.restoring)

    @property
    def rules(self) -> ImmutableRules:
        """The rules that keep tags."""
        return ImmutableRules(self.database)

    @property
    def restoring(self) -> Restoring:
        """What restores."""
        return Restoring.over(self.database, self.registry.lookup, self.settings)

    def pusher(self, name: RepositoryName = NAME) -> Pusher:
        """Somebody who pushes to a repository."""
        return Pusher(self.registry, name)

    def with_settings(self, **changed: Any) -> Bin:
        """The same registry, set otherwise."""
        settings = replace(self.settings, **changed)
        registry = build_registry(
            metadata=self.kit.metadata, work=self.kit.work, store=self.kit.store, settings=settings
        )
        return Bin(kit=self.kit, registry=registry, settings=settings)

    async def entries(self) -> list[TrashEntry]:
        """Everything that is in it, in the order in which it went there."""
        found = [await trash.find(self.database, row[0]) for row in await self.database.all(_ALL)]
        return [entry for entry in found if entry is not None]

    async def kinds(self) -> list[str]:
        """Of what kinds that is."""
        return [entry.kind for entry in await self.entries()]

    async def entry(self, kind: str, tag: str | None = None) -> TrashEntry:
        """The last entry of a kind."""
        fitting = [one for one in await self.entries() if one.kind == kind and (tag is None or tag in one.tags)]
        return fitting[-1]

    async def restore(self, entry: TrashEntry, *, replace: bool = False, into: int | None = None) -> Restored:
        """Restore something."""
        return await self.restoring.restore(entry, replace=replace, by=ALICE, into=into)

    async def delete(self, reference: str | bytes, name: RepositoryName = NAME) -> None:
        """Delete a tag, or a manifest by its bytes."""
        target = Tag.parse(reference) if isinstance(reference, str) else Digest.of(reference)
        await self.registry.manifests.delete(name, target, actor=ALICE)

    async def age(self, seconds: float) -> None:
        """Let time pass for all that is in it."""
        by = int(seconds * clock.MICROSECONDS)
        await self.database.write(lambda tx: tx.execute(_AGE, by=by))

    async def expire(self, **how: Any) -> Expired:
        """Remove what is past its time."""
        return await self.expiry.expire(Unwatched(), **how)

    async def review(self) -> int:
        """Do what a collection does about manifests that were queued; return how many went."""
        gone = 0
        for kind, row_id in await self.database.all(_REVIEW):
            if kind == "manifest":

                async def work(tx: Transaction, row_id: int = row_id) -> int:
                    return await follow(tx, row_id, self.settings, actor=ALICE)

                gone += await self.database.write(work)
        return gone

    async def has(self, reference: str | bytes, name: RepositoryName = NAME) -> bool:
        """Tell whether a tag, or a manifest by its bytes, can be pulled."""
        target = Tag.parse(reference) if isinstance(reference, str) else Digest.of(reference)
        try:
            stored = await self.registry.manifests.get(name, target, content=True)
        except ManifestUnknown:
            return False
        assert stored.content is not None
        return True

    async def names(self, tag: str, name: RepositoryName = NAME) -> Digest:
        """Return what a tag names."""
        return (await self.registry.manifests.get(name, Tag.parse(tag), content=False)).digest

    async def repository(self, name: RepositoryName = NAME) -> RepositoryRecord:
        """Return a repository."""
        found = await repositories.find_exact(self.database, name)
        assert found is not None
        return found

    async def protect(self, *tags: str, repository: str = "**") -> int:
        """Keep tags that match one of these patterns; return the number of the rule."""
        project = await self.project()
        text = RuleText(
            tags=[Selector(decoration="matches", pattern=f"{{{','.join(tags)}}}")],
            repositories=[Selector(decoration="repoMatches", pattern=repository)],
        )
        return await self.rules.create(project, text, by=ALICE)

    async def project(self, name: str = "team") -> ProjectRecord:
        """Return a project."""
        found = await projects.find(self.database, name)
        assert found is not None
        return found


@pytest.fixture
def bin_(kit: Kit) -> Bin:
    """A trash that keeps everything for a week."""
    settings = RegistrySettings(trash_seconds=WEEK, tag_rules=ImmutableTags())
    registry = build_registry(metadata=kit.metadata, work=kit.work, store=kit.store, settings=settings)
    return Bin(kit=kit, registry=registry, settings=settings)
