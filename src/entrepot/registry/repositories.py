"""Repositories as a whole: deleted, with all that is in them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from entrepot.metadata import blobs, clock, emptying, events, outbox, review
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.repositories import RepositoryRecord
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings

#: What one transaction takes out of a repository, so that others get their turn in between.
_STEP: Final = 20


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories of the registry."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings

    async def delete(self, name: RepositoryName, *, actor: Actor) -> None:
        """Delete a repository: its manifests with their tags, then its blobs, then itself, in many small steps.

        What was deleted stays deleted when this is interrupted; whoever repeats it goes on from there. A push that
        comes in between is deleted too, or finds its blobs gone.

        Raises:
            NameUnknown: There is no such repository.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        found = await self.lookup.repository(name)
        keep = not await self.lookup.gate.is_complete()
        emptying_of = _Emptying(found, actor, self.settings.grace_seconds, keep=keep)
        while not await self.metadata.write(emptying_of.step, name="delete repository"):
            pass


@dataclass(frozen=True, slots=True)
class _Emptying:
    """Takes one repository apart, step by step; each is to be run in a write transaction."""

    repository: RepositoryRecord
    actor: Actor
    grace_seconds: float
    #: While a folder is being adopted, what stands in it under this name must not be taken for something new.
    keep: bool

    async def step(self, tx: Transaction) -> bool:
        """Take the next things away; True when that was the end of it."""
        if not await emptying.lock(tx, self.repository.id):
            return True
        if digests := await emptying.unlisted(tx, self.repository.id, limit=_STEP):
            await self._delete_manifests(tx, digests)
        elif links := await emptying.links(tx, self.repository.id, limit=_STEP):
            await self._unlink(tx, links)
        else:
            await self._finish(tx)
            return True
        return False

    async def _delete_manifests(self, tx: Transaction, digests: list[str]) -> None:
        name = RepositoryName(self.repository.name)
        removal = Removal(name=name, actor=self.actor, grace_seconds=self.grace_seconds)
        for digest in digests:
            with suppress(ManifestUnknown, Denied):  # somebody else was quicker; the next step looks again
                await removal.delete_manifest(Digest.parse(digest), tx)

    async def _unlink(self, tx: Transaction, links: list[tuple[int, str]]) -> None:
        ids = [blob_id for blob_id, _ in links]
        for blob_id, digest in links:
            await blobs.unlink(tx, self.repository.id, blob_id)
            await outbox.add(tx, outbox.BLOB_UNLINKED, repository=self.repository.name, digest=digest)
        after = clock.after(self.grace_seconds)
        await blobs.queue(tx, ids, review_after=after)
        await review.add(tx, review.BLOB, ids, after=after, reason="repository deleted")

    async def _finish(self, tx: Transaction) -> None:
        if not self.keep:
            await emptying.remove(tx, self.repository.id)
        name = self.repository.name
        await events.add(tx, events.DELETE, by=self.actor, repository=name, subject=f"repository:{name}")
