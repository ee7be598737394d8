"""Searching projects and repositories by a part of their names.

Names are looked through in their order until a hundred are found: a word that many have is found at once, one that few
have costs a look at all names, in a thread, at some three million a second. An index of all parts of names would have
twenty times as many rows as there are repositories, would be another one on each database, and would gain nothing where
many have the word.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.model import Principal
from entrepot.metadata.contents import projects as project_rows
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.projects.contents.model import Repository
from entrepot.projects.contents.repositories import Repositories
from entrepot.projects.service import Projects, ProjectView

#: Most projects, and most repositories, that a search shows.
LIMIT = 100


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository and its project."""

    repository: Repository
    project: ProjectRecord


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    projects: list[ProjectView]
    repositories: list[FoundRepository]


class Search:
    """Finds what a principal may see."""

    def __init__(self, metadata: Database, projects: Projects, repositories: Repositories) -> None:
        self._metadata = metadata
        self._projects = projects
        self._repositories = repositories

    async def find(self, principal: Principal, text: str) -> Found:
        """Return projects and repositories with `text` in their names.

        Raises:
            TookTooLong: There is too much to look through.
        """
        named = (Condition(field="name", match=Match.CONTAINS, values=(text,)),) if text else ()
        selection = Selection(conditions=named, limit=LIMIT, counted=False)
        projects = await self._projects.page(principal, selection)
        repositories = await self._repositories.readable(principal, selection)
        return Found(projects.items, await self._with_projects(repositories))

    async def _with_projects(self, found: Listed[Repository]) -> list[FoundRepository]:
        ids = {entry.project_id for entry in found.items}
        projects = {each: await project_rows.find_by_id(self._metadata, each) for each in ids}
        pairs = ((entry, projects[entry.project_id]) for entry in found.items)
        return [FoundRepository(entry, project) for entry, project in pairs if project is not None]
