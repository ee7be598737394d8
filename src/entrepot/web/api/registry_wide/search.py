"""`/search`: projects and repositories by a part of their names."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from entrepot.projects.search import FoundRepository
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.projects.project_models import Project

_FOUND: Final[dict[str, Any]] = {
    "project_id": 7,
    "project_name": "demo",
    "project_public": False,
    "repository_name": "demo/app",
    "pull_count": 4,
    "artifact_count": 3,
}


class SearchRepository(BaseModel):
    """A repository that was found."""

    model_config = ConfigDict(json_schema_extra={"example": _FOUND})

    project_id: int
    project_name: str
    project_public: bool
    repository_name: str
    pull_count: int
    artifact_count: int

    @classmethod
    def of(cls, found: FoundRepository) -> SearchRepository:
        """Return what is shown of it."""
        return cls(
            project_id=found.project.id,
            project_name=found.project.name,
            project_public=found.project.public,
            repository_name=found.repository.name,
            pull_count=found.repository.pull_count,
            artifact_count=found.repository.artifact_count,
        )


class SearchResult(BaseModel):
    """What was found, up to a hundred of each."""

    model_config = ConfigDict(json_schema_extra={"example": {"project": [], "repository": [_FOUND]}})

    project: list[Project]
    repository: list[SearchRepository]


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["search"])
    routes.add_api_route("/search", search, methods=["GET"], operation_id="search")
    return routes


async def search(
    caller: CallerOf,
    services: ServicesOf,
    q: Annotated[str, Query(max_length=255, description="A part of the name.", examples=["app"])],
) -> SearchResult:
    """Find projects and repositories that the caller may see."""
    found = await services.search.find(caller.principal, q)
    roles = await services.projects.roles_of(caller.principal)
    return SearchResult(
        project=[Project.of(view, roles.get(view.project.id, [])) for view in found.projects],
        repository=[SearchRepository.of(repository) for repository in found.repositories],
    )
