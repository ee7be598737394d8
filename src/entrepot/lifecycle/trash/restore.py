"""Taking things out of the trash again, whatever they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from entrepot.access.faults import Conflict, NotFound
from entrepot.lifecycle.trash.manifests import ManifestRestoring, Wanted
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.quota import NO_QUOTA, Quota
from entrepot.lifecycle.trash.repositories import RepositoryRestoring
from entrepot.metadata import events, trash_namespaces
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.metadata.people import robots
from entrepot.oci.reference import RepositoryName
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Restoring:
    """Restores what entries of the trash name."""

    metadata: Database
    settings: RegistrySettings
    manifests: ManifestRestoring
    repositories: RepositoryRestoring

    @classmethod
    def over(cls, metadata: Database, lookup: Lookup, settings: RegistrySettings, quota: Quota = NO_QUOTA) -> Restoring:
        """Put it together."""
        return cls(
            metadata,
            settings,
            ManifestRestoring(metadata, lookup, settings, quota),
            RepositoryRestoring(metadata, lookup, settings, quota),
        )

    async def restore(self, entry: TrashEntry, *, replace: bool, by: Actor, into: int | None = None) -> Restored:
        """Restore one entry, with what went with it.

        Args:
            entry: Which one.
            replace: Move tags that name something else now, unless a rule keeps them; else these are set aside.
            by: Who restores it.
            into: The project that it may come back to where its own is deleted and another one has its name.

        Raises:
            Conflict: There is a project of its name.
            Denied: Its project has no room for it.
            NotFound: It is gone for good, or about to.
            PreconditionFailed: Its project is not there, or another one has its name.
            Unsupported: The registry is read-only, or `replace` is asked for while deleting is switched off.
        """
        if replace:
            self.settings.require_deletes()
        self.settings.require_writable()
        if entry.kind == trash.PROJECT:
            return await self._project(entry, replace=replace, by=by)
        if entry.kind == trash.REPOSITORY:
            return await self.repositories.restore(entry, into=into or entry.project_id, replace=replace, by=by)
        wanted = await self._wanted(entry, into or entry.project_id, replace=replace)
        return await self.manifests.restore(wanted, by=by)

    async def _wanted(self, entry: TrashEntry, project_id: int, *, replace: bool) -> Wanted:
        assert entry.repository is not None
        assert entry.digest is not None
        place_id, deletion = entry.place_id, entry.deletion
        if entry.kind == trash.TAG:
            place_id, deletion = await self.place_of(entry.repository_id, entry.digest)
        return Wanted(
            repository=RepositoryName(entry.repository),
            project_id=project_id,
            digest=entry.digest,
            tags=entry.tags,
            replace=replace,
            place_id=place_id,
            deletion=deletion,
            entries=(entry.id,),
        )

    async def place_of(self, repository_id: int | None, digest: str) -> tuple[int | None, str]:
        """Return where a manifest of a repository lies in the trash, and by which deletion; None when it does not."""
        if repository_id is None:
            return None, ""
        place = await repositories.find_exact(self.metadata, trash_namespaces.of_manifests(repository_id))
        if place is None:
            return None, ""
        entries = await trash.of_digest(self.metadata, place.id, digest)
        return place.id, entries[0].deletion if entries else ""

    async def _project(self, entry: TrashEntry, *, replace: bool, by: Actor) -> Restored:
        """Bring a project back, then the repositories that were deleted with it."""
        try:
            await self.metadata.write(partial(self._show, entry, by), name="restore project")
        except ConstraintViolated:
            raise Conflict(
                f"there is a project {entry.project}, or a robot of that name, already; rename or delete that first"
            ) from None
        result = Restored(entry.project)
        for each in await trash.of_deletion(self.metadata, entry.deletion):
            if each.kind == trash.REPOSITORY:
                await self.repositories.restore(each, into=entry.project_id, replace=replace, by=by)
                result.repositories += 1
        await self.metadata.write(partial(trash.remove, ids=[entry.id]), name="restore project")
        return result

    async def _show(self, entry: TrashEntry, by: Actor, tx: Transaction) -> None:
        found = await projects.lock(tx, entry.project_id)
        if found is not None and not trash_namespaces.is_shadow(found.name):
            return  # a restoration that did not come to its end goes on
        if found is None or found.name != trash_namespaces.of_whole(found.id):
            raise NotFound(f"project {entry.project} is not in the trash any more")
        if await projects.find(tx, entry.project) is not None:
            raise Conflict(f"there is a project {entry.project} already; delete that first, or restore single things")
        await projects.rename(tx, entry.project_id, entry.project)
        await robots.show_of_project(tx, entry.project_id)
        await events.add(tx, events.RESTORE, by=by, project=entry.project, subject=f"project:{entry.project}")
