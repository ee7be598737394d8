"""Searching projects and repositories by a part of their names."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.model import Principal
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.reach import reach_of
from entrepot.metadata import projects as project_rows
from entrepot.metadata import repository_lists
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.metadata.projects import ProjectRecord
from entrepot.metadata.repository_lists import RepositoryEntry
from entrepot.projects.service import Projects, ProjectView

_LIST = Permission("repository:list")
#: Most projects, and most repositories, that a search shows.
LIMIT = 100


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository and its project."""

    repository: RepositoryEntry
    project: ProjectRecord


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    projects: list[ProjectView]
    repositories: list[FoundRepository]


class Search:
    """Finds what a principal may see."""

    def __init__(self, metadata: Database, policy: Policy, projects: Projects) -> None:
        self._metadata = metadata
        self._policy = policy
        self._projects = projects

    async def find(self, principal: Principal, text: str) -> Found:
        """Return projects and repositories with `text` in their names.

        Raises:
            TookTooLong: There is too much to look through.
        """
        named = (Condition(field="name", match=Match.CONTAINS, values=(text,)),) if text else ()
        selection = Selection(conditions=named, limit=LIMIT)
        projects = await self._projects.page(principal, selection)
        repositories = await self._repositories(principal, selection)
        return Found(projects.items, await self._with_projects(repositories))

    async def _repositories(self, principal: Principal, selection: Selection) -> Listed[RepositoryEntry]:
        reach = await reach_of(self._policy, principal, _LIST)
        if reach.everywhere:
            return await repository_lists.every(self._metadata, selection)
        return await repository_lists.visible(
            self._metadata, selection, names=reach.names, public=reach.public, internal=reach.internal
        )

    async def _with_projects(self, found: Listed[RepositoryEntry]) -> list[FoundRepository]:
        ids = {entry.project_id for entry in found.items}
        projects = {each: await project_rows.find_by_id(self._metadata, each) for each in ids}
        pairs = ((entry, projects[entry.project_id]) for entry in found.items)
        return [FoundRepository(entry, project) for entry, project in pairs if project is not None]
