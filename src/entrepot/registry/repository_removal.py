"""A repository removed for good with all that is in it, in small steps.

The first of them gives it a name from which nothing is restored: whoever restores it before that has all of it, whoever
comes later has nothing, and what somebody pushes under its old name is never touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.contents import blobs, manifests, repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import repository_removal, review
from entrepot.registry.trash import remove_for_good

#: What one transaction takes out of a repository: one or two milliseconds, for which others wait.
_MANIFESTS: Final = 4
_LINKS: Final = 100


@dataclass(frozen=True, slots=True)
class Emptied:
    """What was taken away, and whether that was the end of it."""

    done: bool
    manifests: int = 0
    bytes: int = 0  #: of blobs that nothing refers to any more


#: Told of each step, in no transaction; may raise to stop.
OnStep = Callable[[Emptied], Awaitable[None]]


async def nobody(_step: Emptied) -> None:
    """Do nothing about a step."""


async def begin(tx: Transaction, repository_id: int) -> RepositoryRecord | None:
    """Say of a repository in the trash that it goes for good, and return it; None when it was restored, or has gone."""
    found = await repositories.lock(tx, repository_id)
    if found is None or not trash_namespaces.is_shadow(found.name):
        return None
    if found.name == trash_namespaces.of_whole(repository_id):
        await repositories.rename(tx, repository_id, trash_namespaces.of_gone(repository_id))
    return found


@dataclass(frozen=True, slots=True)
class Emptying:
    """Takes one repository apart, which nobody can reach by its name any more; each step is one write transaction.

    What is taken away stays away when this is interrupted; whoever repeats it goes on from there.
    """

    repository: RepositoryRecord
    grace_seconds: float

    async def step(self, tx: Transaction) -> Emptied:
        """Take the next things away."""
        row_id = self.repository.id
        if await begin(tx, row_id) is None:
            return Emptied(done=True)
        if found := await repository_removal.unlisted(tx, row_id, limit=_MANIFESTS):
            return await self._remove(tx, found)
        if links := await repository_removal.links(tx, row_id, limit=_LINKS):
            await self._unlink(tx, links)
            return Emptied(done=False)
        await repository_removal.remove(tx, row_id)
        return Emptied(done=True)

    async def _remove(self, tx: Transaction, found: Sequence[manifests.ManifestRow]) -> Emptied:
        await repository_removal.untag(tx, [manifest.id for manifest in found])
        freed = 0
        for manifest in found:
            freed += await remove_for_good(
                tx, manifest, project_id=self.repository.project_id, grace_seconds=self.grace_seconds
            )
        return Emptied(done=False, manifests=len(found), bytes=freed)

    async def _unlink(self, tx: Transaction, ids: Sequence[int]) -> None:
        await repository_removal.unlink(tx, self.repository.id, ids)
        after = clock.after(self.grace_seconds)
        await blobs.queue(tx, ids, review_after=after)
        await review.add(tx, review.BLOB, ids, after=after, reason="repository deleted")
