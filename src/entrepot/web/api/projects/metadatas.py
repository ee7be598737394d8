"""`/projects/{project}/metadatas`: what a project is set to, one setting at a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.permissions import Permission
from entrepot.projects.settings import PUBLIC, VISIBILITY
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.examples import looks_like
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.refusals import refusals

_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("metadata", action) for action in ("list", "read", "create", "update", "delete")
)
_ALWAYS = (PUBLIC, VISIBILITY)

Name = Annotated[str, Path(max_length=64, description="Name of the setting.", examples=["auto_scan"])]
Settings = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=1024)]],
    Field(max_length=32, examples=[{"auto_scan": "true"}]),
]


def router() -> APIRouter:
    """Return the routes; Harbor writes the first two with a slash at the end, which does not count here."""
    routes = APIRouter(tags=["projectMetadata"])
    add = routes.add_api_route
    base = "/projects/{project_name_or_id}/metadatas"
    add(
        base,
        list_metadata,
        methods=["GET"],
        responses=looks_like({"public": "false", "visibility": "private", "auto_scan": "true"}),
        operation_id="listProjectMetadatas",
    )
    add(base, add_metadata, methods=["POST"], responses=refusals(409), operation_id="addProjectMetadatas")
    one = base + "/{meta_name}"
    add(
        one,
        get_metadata,
        methods=["GET"],
        responses=looks_like({"auto_scan": "true"}),
        operation_id="getProjectMetadata",
    )
    add(one, update_metadata, methods=["PUT"], operation_id="updateProjectMetadata")
    add(one, delete_metadata, methods=["DELETE"], operation_id="deleteProjectMetadata")
    return routes


async def list_metadata(
    services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(_LIST))]
) -> dict[str, str]:
    """Return all settings of a project."""
    return (await services.projects.view(project, detail=False)).settings


async def add_metadata(
    body: Settings,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_CREATE))],
) -> None:
    """Set what is not set yet."""
    known = (await services.projects.view(project, detail=False)).settings
    taken = sorted(known.keys() & body.keys())
    if taken:
        raise Conflict(f"{', '.join(taken)} is set already; change it with PUT")
    await services.projects.change(project, body, by=caller.source)


async def get_metadata(
    meta_name: Name, services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(_READ))]
) -> dict[str, str]:
    """Return one setting of a project."""
    known = (await services.projects.view(project, detail=False)).settings
    if meta_name not in known:
        raise NotFound(f"project {project.name} has no setting {meta_name!a}")
    return {meta_name: known[meta_name]}


async def update_metadata(
    meta_name: Name,
    body: Settings,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_UPDATE))],
) -> None:
    """Change one setting of a project."""
    if body.keys() != {meta_name}:
        raise Invalid(f'send the setting that the path names: {{"{meta_name}": "..."}}')
    await services.projects.change(project, body, by=caller.source)


async def delete_metadata(
    meta_name: Name,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_DELETE))],
) -> None:
    """Take one setting of a project away."""
    if meta_name in _ALWAYS:
        raise Invalid(f"{meta_name} is always set; change it with PUT")
    await services.projects.unset(project, meta_name, by=caller.source)
