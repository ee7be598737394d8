"""Projects as a whole: deleted with their settings, labels, members and robots, and with their repositories if asked.

What is deleted into the trash keeps all of these; its robots cannot sign in until it is restored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from entrepot.metadata import events, trash_namespaces
from entrepot.metadata.contents import project_lists, projects, repositories, repository_lists
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import Deletion
from entrepot.metadata.people import robots
from entrepot.oci.errors import Denied, NameUnknown, Unavailable
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import Actor
from entrepot.registry.repositories import Repositories
from entrepot.registry.repository_removal import OnStep, nobody
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import at_once, deletion_in, new_deletion

_AT_ONCE: Final = 100


class ProjectNotEmpty(Denied):
    """The project has repositories; delete these first."""

    def __init__(self, project: str, repository: str) -> None:
        """Name one of them."""
        super().__init__(f"the project {project} contains repositories ({repository}, ...); delete these first")


@dataclass(frozen=True, slots=True)
class ProjectDeletion:
    """Deletes projects."""

    metadata: Database
    repositories: Repositories
    settings: RegistrySettings

    async def delete(
        self,
        project: ProjectRecord,
        *,
        actor: Actor,
        with_repositories: bool = False,
        purging: bool = False,
        reason: str = "",
    ) -> None:
        """Delete a project, into the trash where that keeps something.

        Raises:
            NameUnknown: It has gone in the meantime.
            ProjectNotEmpty: It has repositories, and nothing was said of deleting these.
            TagImmutable: A rule keeps a tag of one of its repositories; nothing is deleted then.
            Unavailable: Its repositories are to be deleted, and their folder is still being adopted.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        deletion = new_deletion()
        if with_repositories:
            await self._require_adopted()
            await self._delete_repositories(project, actor, deletion, purging=purging)
        putting = _PuttingAway(project, actor, self.settings, deletion, purging, reason)
        if not await self.metadata.write(putting.run, name="delete project"):
            await self.empty(project.id)

    async def empty(self, project_id: int, on_step: OnStep = nobody) -> None:
        """Remove for good a project in the trash, of which that was said (see `begin`), with all that is in it."""
        while found := await repositories.shadows_of_project(self.metadata, project_id, limit=_AT_ONCE):
            for repository in found:
                await self.repositories.empty(repository, on_step)
        await self.metadata.write(_Removing(project_id).run, name="empty project")

    async def _require_adopted(self) -> None:
        """Go on only when every repository of the folder is known: while it is read, a deleted one keeps its name."""
        if not await self.repositories.lookup.gate.is_complete():
            raise Unavailable(5, "The folder is still being adopted; delete the project when that is done.")

    async def _delete_repositories(self, project: ProjectRecord, actor: Actor, deletion: str, *, purging: bool) -> None:
        async for row_id in repository_lists.ids_of_project(self.metadata, project.id):
            if (found := await repositories.find_by_id(self.metadata, row_id)) is not None:
                await self.repositories.look(found)
        while names := await self._names(project):
            for name in names:
                await self.repositories.delete(name, actor=actor, deletion=deletion, purging=purging)

    async def _names(self, project: ProjectRecord) -> list[RepositoryName]:
        found = await repositories.some_of_project(self.metadata, project.id, limit=_AT_ONCE)
        return [RepositoryName(one.name) for one in found if not trash_namespaces.is_shadow(one.name)]


async def begin(tx: Transaction, project_id: int) -> bool:
    """Say of a project in the trash that it goes for good; False when it was restored, has gone, or is still used."""
    found = await projects.lock(tx, project_id)
    if found is None or not trash_namespaces.is_shadow(found.name):
        return False
    if found.name == trash_namespaces.of_whole(project_id):
        if await project_lists.first_repository(tx, project_id) is not None:
            return False
        await projects.rename(tx, project_id, trash_namespaces.of_gone(project_id))
    return True


@dataclass(frozen=True, slots=True)
class _PuttingAway:
    """Puts one project into the trash, to be run in a write transaction."""

    project: ProjectRecord
    actor: Actor
    settings: RegistrySettings
    deletion: str
    purging: bool
    reason: str  #: for the audit log

    async def run(self, tx: Transaction) -> bool:
        """Do it; False when the trash does not keep it."""
        project = self.project
        if await projects.find_by_id(tx, project.id) is None:
            raise NameUnknown(f"there is no project {project.name}")
        kept = await self._deletion(tx)
        shadow = trash_namespaces.of_gone(project.id) if kept is None else trash_namespaces.of_whole(project.id)
        await projects.rename(tx, project.id, shadow)
        # Asked after that: whoever made a repository at the same moment has either committed it, or finds no project.
        if (name := await project_lists.first_repository(tx, project.id)) is not None:
            raise ProjectNotEmpty(project.name, name)
        await robots.hide_of_project(tx, project.id)
        deletion = kept or at_once(self.actor.name, self.deletion)
        await trash.add(tx, deletion, kind=trash.PROJECT, project_id=project.id, project=project.name)
        kind = events.PURGE if self.purging else events.DELETE
        subject, detail = f"project:{project.name}", {"reason": self.reason} if self.reason else None
        await events.add(tx, kind, by=self.actor, project=project.name, subject=subject, detail=detail)
        return kept is not None

    async def _deletion(self, tx: Transaction) -> Deletion | None:
        if self.purging:
            return None
        return await deletion_in(tx, self.project.id, self.settings, actor=self.actor.name, deletion=self.deletion)


@dataclass(frozen=True, slots=True)
class _Removing:
    """Removes a project in which nothing is left, if it was to go for good."""

    project_id: int

    async def run(self, tx: Transaction) -> None:
        found = await projects.lock(tx, self.project_id)
        if found is None or found.name != trash_namespaces.of_gone(self.project_id):
            return
        await projects.remove(tx, self.project_id)
