"""Figures over everything: how many projects and repositories there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from entrepot.metadata.database import Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import projects, repositories
from entrepot.metadata.trash_namespaces import listed


@dataclass(frozen=True, slots=True)
class Figures:
    """How many projects there are, and how many repositories in them."""

    projects: int
    repositories: int

    def __sub__(self, other: Figures) -> Figures:
        return Figures(self.projects - other.projects, self.repositories - other.repositories)


_IS_PROJECT = listed(projects.c.name)
_IS_REPOSITORY = listed(repositories.c.name)
_PUBLIC = projects.c.public == 1
_PRIVATE = projects.c.public == 0
_IN_PROJECTS = repositories.join(projects, projects.c.id == repositories.c.project_id)
_NAMED = in_list(projects.c.name, "names")

_COUNT_PROJECTS = select(func.count()).select_from(projects).where(_IS_PROJECT)
_COUNT_REPOSITORIES = select(func.count()).select_from(_IN_PROJECTS).where(_IS_REPOSITORY)
_PROJECTS = Query(_COUNT_PROJECTS, "statistics.projects")
_REPOSITORIES = Query(select(func.count()).select_from(repositories).where(_IS_REPOSITORY), "statistics.repositories")
_PUBLIC_PROJECTS = Query(_COUNT_PROJECTS.where(_PUBLIC), "statistics.public_projects")
_PUBLIC_REPOSITORIES = Query(_COUNT_REPOSITORIES.where(_PUBLIC), "statistics.public_repositories")
_NAMED_PROJECTS = Query(_COUNT_PROJECTS.where(_PRIVATE, _NAMED), "statistics.named_projects")
_NAMED_REPOSITORIES = Query(_COUNT_REPOSITORIES.where(_PRIVATE, _NAMED), "statistics.named_repositories")


async def total(reader: Reader) -> Figures:
    """Count all projects and repositories."""
    return await _figures(reader, _PROJECTS, _REPOSITORIES)


async def public(reader: Reader) -> Figures:
    """Count the projects that everybody may read, and their repositories."""
    return await _figures(reader, _PUBLIC_PROJECTS, _PUBLIC_REPOSITORIES)


async def named(reader: Reader, names: Collection[str]) -> Figures:
    """Count those of some projects that are not public, and their repositories."""
    return await _figures(reader, _NAMED_PROJECTS, _NAMED_REPOSITORIES, names=sorted(names))


async def _figures(reader: Reader, first: Query, second: Query, **parameters: object) -> Figures:
    asked = patient(reader)
    counts = [await asked.one(query, **parameters) for query in (first, second)]
    return Figures(*(0 if row is None else int(row[0]) for row in counts))
