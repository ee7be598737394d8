"""Blobs of repositories: find, mount, delete."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from entrepot.metadata import clock, events
from entrepot.metadata.contents import blobs as rows
from entrepot.metadata.contents import repositories, repository_blobs
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import review
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobInUse, BlobUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry.adoption import WantedBlob
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor, BlobRecord
from entrepot.registry.projects import require_project
from entrepot.registry.quota import Limited, ensure_repository, limited
from entrepot.registry.settings import RegistrySettings

#: Repositories looked at when a blob is to be mounted from wherever the caller may read it.
_HOLDERS = 100


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs that repositories hold."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings

    async def get(self, name: RepositoryName, digest: Digest) -> BlobRecord:
        """Find a blob of a repository.

        Raises:
            BlobUnknown: The repository does not hold this blob.
        """
        return _record(digest, await self._find(name, digest))

    async def stat(self, name: RepositoryName, digest: Digest) -> BlobRecord:
        """Find a blob for somebody who will rely on it: one that is to go gets a new grace.

        Raises:
            BlobUnknown: The repository does not hold this blob.
        """
        row = await self._find(name, digest)
        if self._wants_renewal(row):
            await self._renew(name, row)
        return _record(digest, row)

    async def is_still(self, name: RepositoryName, found: BlobRecord) -> bool:
        """Tell, by one question, whether `get` would find the same and change nothing; False where it takes more."""
        row = await self._held(name, digest=found.digest)
        return row is not None and _record(found.digest, row) == found and found.settled

    async def mount(
        self, name: RepositoryName, digest: Digest, source: RepositoryName, *, actor: Actor
    ) -> BlobRecord | None:
        """Make a blob of `source` a blob of `name` too; None when `source` does not hold it.

        Raises:
            NameUnknown: The project does not exist and the actor may not create it.
            QuotaExceeded: The project may have no more repositories.
            Unsupported: The registry is read-only.
        """
        self.settings.require_writable()
        await self.lookup.prepare(name, WantedBlob(digest))
        row = await self.lookup.find(source, partial(self._held, digest=digest), WantedBlob(digest))
        if row is None:
            return None
        mounted = await self.metadata.write(partial(self._mount, name, row, actor), name="mount blob")
        return _record(digest, row) if mounted else None

    async def find_anywhere(self, digest: Digest) -> list[RepositoryName]:
        """Return names of some repositories that hold a blob, for a mount that names no source."""
        return [
            RepositoryName.parse(name) for name in await repository_blobs.holders(self.metadata, str(digest), _HOLDERS)
        ]

    async def delete(self, name: RepositoryName, digest: Digest, *, actor: Actor) -> None:
        """Take a blob out of a repository.

        Raises:
            BlobInUse: A manifest of the repository refers to it.
            BlobUnknown: The repository does not hold it.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        await self.lookup.prepare(name)
        await self.metadata.write(partial(self._delete, name, digest, actor), name="delete blob")

    async def _held(self, stored_name: str, *, digest: Digest) -> rows.BlobRow | None:
        return await repository_blobs.find_in(self.metadata, stored_name, str(digest))

    async def _find(self, name: RepositoryName, digest: Digest) -> rows.BlobRow:
        row = await repository_blobs.find_in(self.metadata, name, str(digest))
        if row is None:
            row = await self.lookup.find(name, partial(self._held, digest=digest), WantedBlob(digest))
        if row is None:
            raise BlobUnknown(detail={"digest": str(digest)})
        return row

    def _wants_renewal(self, row: rows.BlobRow) -> bool:
        """A second HEAD soon after the first need not write again: half of the grace is left."""
        if row.review_after is None and row.lapses_at is None:
            return False
        soon = clock.after(self.settings.grace_seconds / 2)
        return any(end is not None and end < soon for end in (row.review_after, row.lapses_at))

    async def _renew(self, name: RepositoryName, row: rows.BlobRow) -> None:
        project = await limited(self.metadata, name)
        if not await self.metadata.write(partial(self._keep, name, row, project), name="renew grace"):
            raise BlobUnknown(detail={"digest": row.digest})

    async def _keep(self, name: RepositoryName, row: rows.BlobRow, project: Limited | None, tx: Transaction) -> bool:
        grace = self.settings.grace_seconds
        if row.lapses_at is not None:
            repository = await repositories.find(tx, name)
            if repository is None or not await repository_blobs.held(tx, repository.id, [row.digest]):
                return False
            await repository_blobs.put_off(tx, repository.id, row.id, after=clock.after(grace))
        if row.review_after is None:  # something else has it kept: another repository, or the trash
            return True
        if not await rows.keep(tx, [row.id], review_after=clock.after(grace)):
            return False
        if project is not None:  # whoever has it kept by asking for it is charged as long
            await project.renew(tx, row.id, row.size, seconds=grace)
        return True

    async def _mount(self, name: RepositoryName, row: rows.BlobRow, actor: Actor, tx: Transaction) -> bool:
        await require_project(tx, name, actor)
        until = clock.after(self.settings.grace_seconds)
        if await rows.keep(tx, [row.id], review_after=None if row.review_after is None else until) == 0:
            return False
        target = await ensure_repository(tx, name)
        if await repository_blobs.link(tx, target.id, row.id):
            await outbox.add(tx, outbox.BLOB_LINKED, repository=target.name, digest=row.digest)
            await events.add(tx, events.MOUNT, by=actor, repository=target.name, digest=row.digest)
        return True

    async def _delete(self, name: RepositoryName, digest: Digest, actor: Actor, tx: Transaction) -> None:
        repository = await repositories.find(tx, name)
        held = {} if repository is None else await repository_blobs.held(tx, repository.id, [str(digest)])
        if repository is None or not held:
            raise BlobUnknown(detail={"digest": str(digest)})
        row = held[str(digest)]
        if (references := await repository_blobs.references_in(tx, repository.id, row.id)) > 0:
            raise BlobInUse(references)
        await repository_blobs.unlink(tx, repository.id, row.id)
        after = clock.after(self.settings.grace_seconds)
        await rows.queue(tx, [row.id], review_after=after)
        await review.add(tx, review.BLOB, [row.id], after=after, reason="blob deleted")
        await outbox.add(tx, outbox.BLOB_UNLINKED, repository=repository.name, digest=row.digest)
        await events.add(
            tx,
            events.DELETE,
            by=actor,
            repository=repository.name,
            digest=row.digest,
        )


def _record(digest: Digest, row: rows.BlobRow) -> BlobRecord:
    settled = row.review_after is None and row.lapses_at is None
    file = (row.inode, row.mtime_ns, row.verified_at)
    return BlobRecord(digest, row.size, row.storage_key, row.id, *file, settled, row.etag)
