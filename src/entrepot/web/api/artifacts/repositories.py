"""`/repositories` and `/projects/{project}/repositories`: listed, seen, described and deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from entrepot.access.permissions import Permission
from entrepot.metadata.contents import repository_lists
from entrepot.metadata.filtering import Selection
from entrepot.web.api.artifacts.repository_models import Repository, RepositoryRequest
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_named
from entrepot.web.api.lookups.repository_lookup import RepositoryIn, repository_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals

_LIST, _READ, _UPDATE, _DELETE = (
    Permission.of("repository", action) for action in ("list", "read", "update", "delete")
)
_Selected = Annotated[Selection, Depends(selection(repository_lists.FIELDS))]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["repository"])
    add = routes.add_api_route
    add("/repositories", list_all, methods=["GET"], responses=PAGED, operation_id="listAllRepositories")
    of_project = "/projects/{project_name}/repositories"
    add(of_project, list_of_project, methods=["GET"], responses=PAGED, operation_id="listRepositories")
    one = f"{of_project}/{{repository_name}}"
    add(one, get_repository, methods=["GET"], operation_id="getRepository")
    add(one, update_repository, methods=["PUT"], operation_id="updateRepository")
    add(one, delete_repository, methods=["DELETE"], responses=refusals(405), operation_id="deleteRepository")
    return routes


async def list_all(
    request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: _Selected
) -> list[Repository]:
    """List the repositories of all projects whose repositories the caller may list."""
    found = await services.contents.repositories.readable(caller.principal, wanted)
    describe(request, response, wanted, found.total)
    return [Repository.of(view) for view in found.items]


async def list_of_project(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_named(_LIST))],
    wanted: _Selected,
) -> list[Repository]:
    """List the repositories of a project."""
    found = await services.contents.repositories.of_project(project.id, wanted)
    describe(request, response, wanted, found.total)
    return [Repository.of(view) for view in found.items]


async def get_repository(
    response: Response, services: ServicesOf, repository: Annotated[RepositoryIn, Depends(repository_where(_READ))]
) -> Repository:
    """Return one repository."""
    view = await services.contents.repositories.view(repository.record)
    set_etag(response, view.updated_at)
    return Repository.of(view)


async def update_repository(
    body: RepositoryRequest,
    response: Response,
    services: ServicesOf,
    repository: Annotated[RepositoryIn, Depends(repository_where(_UPDATE))],
    expected: Expected,
) -> None:
    """Say what a repository is for."""
    source = repository.caller.source
    repositories = services.contents.repositories
    await repositories.describe(repository.record, body.description, by=source, expected=expected)
    set_etag(response, (await repositories.view(repository.record)).updated_at)


async def delete_repository(
    services: ServicesOf, repository: Annotated[RepositoryIn, Depends(repository_where(_DELETE))]
) -> None:
    """Delete a repository with all that is in it."""
    await services.contents.repositories.delete(repository.record, by=repository.actor)
