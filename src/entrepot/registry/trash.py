"""Into the trash and out of it, a manifest or a tag at a time, within a write transaction.

What goes into the trash is moved into the shadow of its repository (`metadata.trash_namespaces`):
nobody finds it there, and all it refers to is kept for it. Where the trash keeps nothing, it is removed for good.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.contents import blobs, manifests, repositories, repository_blobs
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import manifest_moves, review, trash
from entrepot.metadata.lifecycle.trash import Deletion
from entrepot.metadata.usage import charges
from entrepot.oci.reference import RepositoryName
from entrepot.registry.settings import RegistrySettings


def new_deletion() -> str:
    """Make up the id of a deletion: what goes together has the same."""
    return secrets.token_hex(8)


def at_once(actor: str, deletion: str) -> Deletion:
    """Return a deletion whose time in the trash is over from the beginning."""
    now = clock.now()
    return Deletion(id=deletion, actor=actor, deleted_at=now, expires_at=now)


async def deletion_in(
    tx: Transaction, project_id: int, settings: RegistrySettings, *, actor: str, deletion: str
) -> Deletion | None:
    """Return how a deletion in a project keeps things; None when its trash keeps nothing."""
    seconds = await trash.seconds_of(tx, project_id, default=settings.trash_seconds)
    if seconds <= 0:
        return None
    now = clock.now()
    end = now + int(seconds * clock.MICROSECONDS)
    return Deletion(id=deletion, actor=actor, deleted_at=now, expires_at=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposal:
    """Takes things out of one repository: into the trash, or (without a deletion) for good."""

    repository: RepositoryRecord
    deletion: Deletion | None
    grace_seconds: float
    lets_go: bool = True  #: also of blobs that nothing else in the repository needs
    purging: bool = False

    async def tag(self, tx: Transaction, tag: str, digest: str) -> None:
        """Remember a tag that was taken away; the manifest stays where it is."""
        if self.deletion is not None:
            await self._note(tx, self.deletion, trash.TAG, digest=digest, tags=[tag])

    async def manifest(self, tx: Transaction, manifest: ManifestRow, tags: Sequence[str]) -> list[str]:
        """Take a manifest away, whose tags are gone already; return the digests of what the repository lets go of."""
        blob_ids = await manifests.blob_ids(tx, manifest.id)
        await blobs.lock(tx, blob_ids)
        if self.deletion is None:
            project_id = self.repository.project_id
            await remove_for_good(tx, manifest, project_id=project_id, grace_seconds=self.grace_seconds)
        else:
            await self._keep(tx, self.deletion, manifest, tags)
        if not self.lets_go or not (self.purging or self.deletion is not None):
            return []  # what is on its way to collection may be found and pushed again
        lost = await repository_blobs.lapse(tx, self.repository.id, blob_ids, after=clock.after(self.grace_seconds))
        if self.purging:
            await repository_blobs.cut_short(tx, self.repository.id, blob_ids)
        return lost

    async def _keep(self, tx: Transaction, deletion: Deletion, manifest: ManifestRow, tags: Sequence[str]) -> None:
        dependants = await manifests.dependants(tx, manifest)
        place = await _shadow(tx, self.repository)
        earlier = await manifests.locked(tx, place.id, manifest.digest)
        if earlier is not None:  # deleted, pushed again and now deleted again
            await manifest_moves.drop(tx, earlier, place)
        await manifest_moves.move(tx, manifest, self.repository, place)
        await self._note(tx, deletion, trash.MANIFEST, digest=manifest.digest, tags=tags, place_id=place.id)
        await _leave_behind(tx, dependants, clock.after(self.grace_seconds))

    async def _note(
        self,
        tx: Transaction,
        deletion: Deletion,
        kind: str,
        *,
        digest: str,
        tags: Sequence[str],
        place_id: int | None = None,
    ) -> None:
        await trash.add(
            tx,
            deletion,
            kind=kind,
            project_id=self.repository.project_id,
            project=RepositoryName(self.repository.name).project,
            repository_id=self.repository.id,
            repository=self.repository.name,
            place_id=place_id,
            digest=digest,
            tags=tags,
        )


async def _leave_behind(tx: Transaction, dependants: Sequence[int], after: int) -> None:
    """Queue what an index listed, or what refers to a manifest, for it may have to go the same way."""
    await manifests.queue(tx, dependants, review_after=after)
    await review.add(tx, review.MANIFEST, dependants, after=after, reason="parent or subject deleted")


async def remove_for_good(tx: Transaction, manifest: ManifestRow, *, project_id: int, grace_seconds: float) -> int:
    """Remove a manifest that no tag points at any more, and queue for review whatever only it may have needed.

    The number of statements does not depend on how much that is. Return how many bytes of blobs nothing refers to from
    now on.

    Args:
        tx: The transaction.
        manifest: What goes, locked by the caller.
        project_id: Whose use of its blobs ends.
        grace_seconds: How long what it needed is left alone.
    """
    blob_ids = await manifests.blob_ids(tx, manifest.id)
    dependants = await manifests.dependants(tx, manifest)
    bytes_went = await manifests.remove(tx, manifest)
    charged = charges.Charged(id=manifest.id, digest=manifest.digest, size=manifest.size)
    await charges.discharge(tx, project_id, blob_ids, manifest=charged)
    after = clock.after(grace_seconds)
    await blobs.queue(tx, blob_ids, review_after=after)
    await review.add(tx, review.BLOB, blob_ids, after=after, reason="manifest deleted")
    await _leave_behind(tx, dependants, after)
    if bytes_went:
        await review.add_files(tx, [manifest.digest], after=after, reason="manifest deleted")
    return await blobs.unreferenced_bytes(tx, blob_ids)


async def bring_back(tx: Transaction, place: RepositoryRecord, target: RepositoryRecord, digest: str) -> int | None:
    """Move a manifest out of a shadow into a repository; return its row id there.

    Where the repository has it, that one stays. None when neither has it.
    """
    lying = await manifests.locked(tx, place.id, digest)
    there = await manifests.locked(tx, target.id, digest)
    if lying is None or there is not None:
        if lying is not None:
            await manifest_moves.drop(tx, lying, place)
        return None if there is None else there.id
    await manifest_moves.move(tx, lying, place, target)
    await manifests.keep(tx, [lying.id])
    held = await repository_blobs.revive(tx, lying.id)
    await outbox.add(tx, outbox.MANIFEST_PUT, repository=target.name, digest=digest, tags=[], blobs=held)
    return lying.id


async def take_back(tx: Transaction, repository: RepositoryRecord, digests: Collection[str]) -> dict[str, int]:
    """Bring manifests back that somebody needs now, with what they list; return the row ids of those there were."""
    place = await repositories.hold(tx, trash_namespaces.of_manifests(repository.id))
    found: dict[str, int] = {}
    waiting = list(digests) if place is not None else []
    while place is not None and waiting:
        digest = waiting.pop()
        row_id = await bring_back(tx, place, repository, digest)
        if row_id is None or digest in found:
            continue
        found[digest] = row_id
        waiting += await manifests.missing_children(tx, row_id)
        await trash.forget_untagged(tx, place.id, digest)
    return {digest: found[digest] for digest in digests if digest in found}


async def _shadow(tx: Transaction, repository: RepositoryRecord) -> RepositoryRecord:
    """Return the shadow of a repository, made where it is missing."""
    name = trash_namespaces.of_manifests(repository.id)
    found = await repositories.hold(tx, name)
    while found is None:  # it is removed when it is empty
        await repositories.create(tx, name, repository.project_id)
        found = await repositories.hold(tx, name)
    return found
