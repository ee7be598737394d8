"""A repository that comes back: by its name alone, or into the one that has its name now."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.access.faults import Conflict, NotFound
from entrepot.lifecycle.trash.locations import target
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.quota import Quota
from entrepot.lifecycle.trash.tag_restore import Retagged, Retagging
from entrepot.metadata import events, trash_namespaces
from entrepot.metadata.contents import manifests, projects, repositories, repository_blobs, tags
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import manifest_moves, repository_removal
from entrepot.metadata.lifecycle import trash as rows
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.oci.reference import RepositoryName
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings

_MANIFESTS: Final = 20
_ROWS: Final = 500
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class RepositoryRestoring:
    """Brings repositories back."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings
    quota: Quota

    async def restore(self, entry: TrashEntry, *, into: int, replace: bool, by: Actor) -> Restored:
        """Do it: by one transaction where the name is free, else manifest by manifest into what has it now.

        Raises:
            Conflict: The name is taken and left again all the time.
            NotFound: It is not in the trash any more, or goes for good.
            PreconditionFailed: Its project is not there, or has not the id `into`.
        """
        assert entry.repository is not None
        name = RepositoryName(entry.repository)
        await self.lookup.prepare(name)
        result = Restored(entry.project, name, repositories=1)
        for _ in range(_ATTEMPTS):
            try:
                done = await self.metadata.write(partial(self._rename, entry, by), name="restore repository")
            except ConstraintViolated:
                continue  # somebody made one of this name at the same moment
            if not done:
                await self._merge(_Merging(entry, name, into, self.settings, self.quota, by, replace), result)
            return result
        raise Conflict(f"repository {name} is being made and deleted; try again")

    async def _rename(self, entry: TrashEntry, by: Actor, tx: Transaction) -> bool:
        """Give it its name back; False when that is taken, or its project is another one now."""
        lying = await _lying(tx, entry)
        assert entry.repository is not None
        owner = await projects.lock(tx, lying.project_id)
        is_there = owner is not None and not trash_namespaces.is_shadow(owner.name)
        if not is_there or await repositories.find_exact(tx, entry.repository) is not None:
            return False
        await repositories.rename(tx, lying.id, entry.repository)
        await rows.remove(tx, [entry.id])
        await self.quota.require_repository(tx, lying.project_id)
        await self.quota.require_room(tx, lying.project_id)
        await outbox.add(tx, outbox.REPOSITORY_CHANGED, repository=entry.repository)
        await _tell(tx, entry.repository, by)
        return True

    async def _merge(self, merging: _Merging, result: Restored) -> None:
        for step in (merging.some_manifests, merging.some_history, merging.some_blobs):
            while (moved := await self.metadata.write(step, name="restore repository")) is not None:
                result.add(*moved)
        await self.metadata.write(merging.end, name="restore repository")


#: How many manifests were moved, and what became of their tags.
_Moved = tuple[int, list[str], list[str]]


@dataclass(frozen=True, slots=True)
class _Merging:
    """Moves what is in a deleted repository into the one that has its name now; each step is one transaction."""

    entry: TrashEntry
    name: RepositoryName
    into: int  #: the project
    settings: RegistrySettings
    quota: Quota
    by: Actor
    replace: bool

    async def some_manifests(self, tx: Transaction) -> _Moved | None:
        """Move the next manifests with their tags, oldest first; None when there are none."""
        lying, there = await _lying(tx, self.entry), await target(tx, self.name, self.into, self.quota)
        found = await repository_removal.oldest(tx, lying.id, limit=_MANIFESTS)
        tagged = [await self._manifest(tx, manifest, lying, there) for manifest in found]
        await self.quota.require_room(tx, there.project_id)
        restored = [name for one in tagged for name in one.restored]
        return (len(found), restored, [name for one in tagged for name in one.aside]) if found else None

    async def _manifest(
        self, tx: Transaction, manifest: ManifestRow, lying: RepositoryRecord, there: RepositoryRecord
    ) -> Retagged:
        names = await tags.of_manifest(tx, manifest.id)
        if names:
            await tags.remove(tx, lying.id, names)
        known = await manifests.locked(tx, there.id, manifest.digest)
        if known is None:
            await manifest_moves.move(tx, manifest, lying, there)
        else:
            await manifest_moves.drop(tx, manifest, lying)
        row_id = manifest.id if known is None else known.id
        held = await repository_blobs.revive(tx, row_id)
        retagging = Retagging(repository=there, rules=self.settings.tag_rules, actor=self.by.name, replace=self.replace)
        tagged = await retagging.run(tx, names, row_id, manifest.digest)
        put = {"repository": there.name, "digest": manifest.digest, "tags": tagged.restored, "blobs": held}
        await outbox.add(tx, outbox.MANIFEST_PUT, **put)
        return tagged

    async def some_history(self, tx: Transaction) -> _Moved | None:
        """Move what is known of where its tags pointed."""
        lying, there = await _lying(tx, self.entry), await target(tx, self.name, self.into, self.quota)
        return (0, [], []) if await tags.move_history(tx, lying.id, there.id, limit=_ROWS) else None

    async def some_blobs(self, tx: Transaction) -> _Moved | None:
        """Hand over blobs that no manifest refers to."""
        lying, there = await _lying(tx, self.entry), await target(tx, self.name, self.into, self.quota)
        found = await repository_removal.links(tx, lying.id, limit=_ROWS)
        await repository_blobs.link_all(tx, there.id, await repository_removal.held(tx, lying.id, found))
        await repository_removal.unlink(tx, lying.id, found)
        return (0, [], []) if found else None

    async def end(self, tx: Transaction) -> None:
        """Remove what is left of it."""
        lying = await _lying(tx, self.entry)
        await repository_removal.remove(tx, lying.id)
        await _tell(tx, self.name, self.by)


async def _lying(tx: Transaction, entry: TrashEntry) -> RepositoryRecord:
    """Return the deleted repository, which nobody begins to remove for good before the transaction ends.

    Raises:
        NotFound: It is not in the trash any more, or goes for good.
    """
    found = None if entry.place_id is None else await repositories.lock(tx, entry.place_id)
    if found is None or found.name != trash_namespaces.of_whole(found.id):
        raise NotFound(f"repository {entry.repository} is not in the trash any more")
    return found


async def _tell(tx: Transaction, name: str, by: Actor) -> None:
    await events.add(tx, events.RESTORE, by=by, repository=name, subject=f"repository:{name}")
