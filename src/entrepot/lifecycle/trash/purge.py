"""Removing for good at once, past trash and history: a leaked secret, or something that may not be kept.

What only the purged thing needed goes with it. The bytes of blobs go when collection has waited for the grace; nobody
can read them in that repository from here on, and whoever purges is told how many others have the same manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.access.faults import NotFound, PreconditionFailed
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.lifecycle.trash.manifest_removal import Lying
from entrepot.metadata import events
from entrepot.metadata.contents import copies, manifests, tags
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.oci.reference import RepositoryName
from entrepot.registry.accessories import Accessories
from entrepot.registry.dependents import follow
from entrepot.registry.model import Actor
from entrepot.registry.project_deletion import ProjectDeletion
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.tag_rules import require_movable
from entrepot.registry.trash import Disposal
from entrepot.telemetry.progress import Unwatched

_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Purger:
    """Who purges, and why."""

    actor: Actor
    reason: str = ""

    @property
    def detail(self) -> dict[str, str] | None:
        """What the audit log is told beside."""
        return {"reason": self.reason} if self.reason else None


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed for good."""

    manifests: int = 0
    copies: int = 0  #: of the same manifest, that other repositories or their trashes have


@dataclass(frozen=True, slots=True)
class Purging:
    """Purges artifacts, repositories, projects and entries of the trash; deleting must be switched on for each."""

    metadata: Database
    settings: RegistrySettings
    deletion: ProjectDeletion
    expiry: Expiry

    async def artifact(self, repository: RepositoryRecord, digest: str, *, by: Purger) -> Purged:
        """Purge a manifest with its tags, with what only it lists and what refers to it, from the trash too.

        Raises:
            NotFound: It has gone in the meantime.
            PreconditionFailed: An index lists it.
            TagImmutable: A rule keeps one of its tags.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        root = _Root(repository, digest, self.settings, by)
        accessories, waiting = await self.metadata.write(root.run, name="purge")
        count = 1 + accessories
        while waiting:
            piece, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            gone, more = await self.metadata.write(partial(self._follow, piece, by), name="purge")
            count += gone
            waiting += more
        for entry in await trash.of_repository(self.metadata, repository.id, digest):
            count += await self._lying(entry)
        await self._forget(repository.id, digest)
        return Purged(count, await copies.count(self.metadata, digest))

    async def repository(self, repository: RepositoryRecord, *, by: Purger) -> None:
        """Purge a repository with all that is in it, and all that was deleted from it.

        Raises:
            NameUnknown: It has gone in the meantime.
            TagImmutable: A rule keeps one of its tags.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        name = RepositoryName(repository.name)
        await self.deletion.repositories.delete(name, actor=by.actor, purging=True, reason=by.reason)
        await self._empty(repository.id)

    async def project(self, project: ProjectRecord, *, by: Purger) -> None:
        """Purge a project with all that is in it, and all that was deleted in it.

        Raises:
            NameUnknown: It has gone in the meantime.
            TagImmutable: A rule keeps a tag of one of its repositories.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        await self.deletion.delete(project, actor=by.actor, with_repositories=True, purging=True, reason=by.reason)

    async def entry(self, entry: TrashEntry, *, by: Purger) -> Purged:
        """Purge what an entry of the trash names, with what went with it.

        Raises:
            NotFound: It is not in the trash any more.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        if not await self.metadata.write(partial(_announce, entry, by), name="purge"):
            raise NotFound(f"there is no entry {entry.id} in the trash any more")
        if entry.kind in (trash.REPOSITORY, trash.PROJECT):
            done = await self.expiry.remove([entry], Unwatched())
            if entry.repository_id is not None:
                await self._empty(entry.repository_id)
            return Purged(done.manifests)
        assert entry.digest is not None
        count = await self._lying(entry)
        if entry.repository_id is not None:
            await self._forget(entry.repository_id, entry.digest, entry.tags if entry.kind == trash.TAG else None)
        return Purged(count, await copies.count(self.metadata, entry.digest))

    async def _lying(self, entry: TrashEntry) -> int:
        """Remove what an entry of a tag or a manifest names; return how many manifests went."""
        if entry.kind == trash.TAG or entry.place_id is None or entry.digest is None:
            return (await self.expiry.remove([entry], Unwatched())).manifests
        grace, place, repository = self.settings.grace_seconds, entry.place_id, entry.repository_id
        lying = Lying(self.metadata, grace, place, repository, entry.deletion)
        return await lying.remove(entry.digest)

    async def _empty(self, repository_id: int) -> None:
        """Remove for good what was deleted from a repository."""
        while found := await trash.some_of_repository(self.metadata, repository_id, limit=_AT_ONCE):
            await self.expiry.remove(found, Unwatched(), strictly=True)

    async def _follow(self, ids: Sequence[int], by: Purger, tx: Transaction) -> tuple[int, list[int]]:
        """Let manifests go that only the purged one needed; return how many went, and what may go after them."""
        gone, waiting = 0, []
        for row_id in ids:
            found = await manifests.locked_with_subject(tx, row_id)
            dependants = [] if found is None else await manifests.dependants(tx, found[0])
            if went := await follow(tx, row_id, self.settings, actor=by.actor, purging=True):
                gone += went
                waiting += dependants
        return gone, waiting

    async def _forget(self, repository_id: int, digest: str, names: Collection[str] | None = None) -> None:
        """Take a manifest out of the history of a repository's tags, or of some of them."""
        moves = [
            row_id
            async for row_id, name in tags.moves_to(self.metadata, repository_id, digest)
            if names is None or name in names
        ]
        await self.metadata.write(partial(tags.forget, ids=moves), name="purge history")


@dataclass(frozen=True, slots=True)
class _Root:
    """Purges one manifest of a repository, to be run in a write transaction."""

    repository: RepositoryRecord
    digest: str
    settings: RegistrySettings
    by: Purger

    async def run(self, tx: Transaction) -> tuple[int, list[int]]:
        """Do it; return how many accessories went too, and the row ids of what it listed and what refers to it."""
        repository = self.repository
        manifest = await manifests.locked(tx, repository.id, self.digest)
        if manifest is None:
            raise NotFound(f"there is no artifact {self.digest} in {repository.name} any more")
        if (indexes := await manifests.parents(tx, manifest.id)) > 0:
            raise PreconditionFailed(f"the manifest belongs to {indexes} index(es) of this repository; purge those")
        names = await tags.of_manifest(tx, manifest.id)
        await require_movable(self.settings.tag_rules, tx, repository, names)
        await tags.remove(tx, repository.id, names)
        grace = self.settings.grace_seconds
        disposal = Disposal(repository=repository, deletion=None, grace_seconds=grace, purging=True)
        accessories = Accessories(disposal=disposal, rules=self.settings.tag_rules, actor=self.by.actor)
        count = await accessories.take(tx, self.digest)
        dependants = await manifests.dependants(tx, manifest)
        unread = await disposal.manifest(tx, manifest, [])
        gone = {"repository": repository.name, "digest": self.digest, "tags": names, "blobs": unread}
        await outbox.add(tx, outbox.MANIFEST_DELETED, **gone)
        detail = {**(self.by.detail or {}), "tags": names}
        name, digest = repository.name, self.digest
        await events.add(tx, events.PURGE, by=self.by.actor, repository=name, digest=digest, detail=detail)
        return count, dependants


async def _announce(entry: TrashEntry, by: Purger, tx: Transaction) -> bool:
    """Write to the audit log what is purged; False when it is not in the trash any more."""
    if await trash.find(tx, entry.id) is None:
        return False
    await events.add(
        tx,
        events.PURGE,
        by=by.actor,
        project=entry.project,
        repository=entry.repository,
        digest=entry.digest,
        tag=entry.tags[0] if entry.kind == trash.TAG else None,
        subject=f"trash:{entry.id}",
        detail=by.detail,
    )
    return True
