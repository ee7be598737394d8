"""`/projects`: made, listed, seen, changed and deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from entrepot.access.faults import Conflict, Invalid
from entrepot.access.model import PrincipalKind, Target
from entrepot.access.permissions import CREATE_PROJECT, Permission
from entrepot.metadata.contents import project_lists
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.usage.usage import Limits
from entrepot.projects.service import check_name
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import NameInLocation, set_location
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.lookups.repository_lookup import actor_of
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.projects.project_models import Deletable, Project, ProjectRequest, Summary, SummaryQuota
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices
from entrepot.web.api.usage.quotas import UNLIMITED, Quota

READ = Permission("project:read")
UPDATE = Permission("project:update")
DELETE = Permission("project:delete")
_LIST_MEMBERS = Permission("member:list")
_SET_QUOTA = Permission("quota:update")
_DEFAULT_LIMIT = "storage_per_project"


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["project"])
    add = routes.add_api_route
    add("/projects", list_projects, methods=["GET"], responses=PAGED, operation_id="listProjects")
    add(
        "/projects",
        head_project,
        methods=["HEAD"],
        status_code=200,
        responses=refusals(404),
        operation_id="headProject",
    )
    add(
        "/projects",
        create_project,
        methods=["POST"],
        status_code=201,
        responses=refusals(409),
        operation_id="createProject",
    )
    one = "/projects/{project_name_or_id}"
    add(one, get_project, methods=["GET"], operation_id="getProject")
    add(one, update_project, methods=["PUT"], responses=refusals(409), operation_id="updateProject")
    add(one, delete_project, methods=["DELETE"], responses=refusals(405, 412), operation_id="deleteProject")
    add(f"{one}/summary", get_summary, methods=["GET"], operation_id="getProjectSummary")
    add(f"{one}/_deletable", get_deletable, methods=["GET"], operation_id="getProjectDeletable")
    return routes


async def list_projects(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(project_lists.FIELDS))],
    *,
    name: Annotated[str, Query(description="A part of the name.", examples=["demo"])] = "",
    public: Annotated[bool | None, Query(description="Only public ones, or only others.", examples=[True])] = None,
    owner: Annotated[str, Query(description="Name of the owner.", examples=["alice"])] = "",
    with_detail: Annotated[bool, Query(description="With the number of repositories.")] = True,
) -> list[Project]:
    """List the projects that the caller may see."""
    more = _conditions(name, public=public, owner=owner)
    narrowed = Selection(
        conditions=(*wanted.conditions, *more), order=wanted.order, limit=wanted.limit, offset=wanted.offset
    )
    found = await services.projects.page(caller.principal, narrowed, detail=with_detail)
    describe(request, response, wanted, found.total)
    roles = await services.projects.roles_of(caller.principal)
    return [Project.of(view, roles.get(view.project.id, [])) for view in found.items]


async def head_project(
    caller: CallerOf,
    services: ServicesOf,
    project_name: Annotated[str, Query(max_length=255, description="The name.", examples=["demo"])],
) -> Response:
    """Tell whether a name is taken: 200 when it is, 404 when it is free, or taken by a project that is hidden.

    Whoever may make projects learns of hidden ones, too: their names cannot be had.
    """
    caller.require_sign_in()
    found = await services.projects.find(project_name, is_name=True)
    told = found is not None and (
        await caller.may(READ, Target(found.name)) or await _may_create(caller, services, project_name)
    )
    return Response(status_code=200 if told else 404)


async def create_project(
    body: ProjectRequest,
    caller: CallerOf,
    services: ServicesOf,
    *,
    by_name: NameInLocation = False,
) -> Response:
    """Make a project; whoever makes it becomes its administrator."""
    if not body.project_name:
        raise Invalid("project_name is missing")
    check_name(body.project_name)
    if not await _may_create(caller, services, body.project_name):
        await caller.require(CREATE_PROJECT)
    limit = body.storage_limit
    if limit is not None and limit > 0:
        await caller.require(_SET_QUOTA)
    made = await services.projects.create(body.project_name, body.settings(), by=caller.source, owner=caller.principal)
    if limit is not None and (limit > 0 or await _lifts_limit(caller, services, limit)):
        await services.quotas.set(made.id, Limits(hard_bytes=limit if limit > 0 else None), by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/projects/{made.name if by_name else made.id}")
    set_etag(response, made.updated_at)
    return response


async def _lifts_limit(caller: Caller, services: ApiServices, limit: int) -> bool:
    """Tell whether a new project shall do without the limit that new ones have: -1 from somebody who sets quotas."""
    if limit != UNLIMITED or await services.configuration.get(_DEFAULT_LIMIT) == UNLIMITED:
        return False
    return await caller.may(_SET_QUOTA)


async def get_project(
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(READ))],
) -> Project:
    """Return one project."""
    view = await services.projects.view(project)
    roles = await services.projects.roles_of(caller.principal)
    set_etag(response, project.updated_at)
    return Project.of(view, roles.get(project.id, []))


async def update_project(
    body: ProjectRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(UPDATE))],
    expected: Expected,
) -> None:
    """Change what a project is set to; settings that are not named stay."""
    if body.project_name not in (None, "", project.name):
        raise Conflict("a project keeps its name; leave project_name out")
    changed = await services.projects.change(project, body.settings(), by=caller.source, expected=expected)
    set_etag(response, changed.updated_at)


async def delete_project(
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(DELETE))],
    *,
    force: Annotated[
        bool, Query(description="With its repositories; else it must have none.", examples=[True])
    ] = False,
) -> None:
    """Delete a project with its settings, labels, members and robots; it can be restored for as long as it says."""
    await services.projects.delete(project, by=actor_of(caller), with_repositories=force)


async def get_summary(
    caller: CallerOf, services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(READ))]
) -> Summary:
    """Count what is in a project."""
    view = await services.projects.view(project)
    may_count = await caller.may(_LIST_MEMBERS, Target(project.name))
    members = await services.projects.members_by_role(project) if may_count else {}
    quota = Quota.of(await services.quotas.get(project.id))
    return Summary.of(view, SummaryQuota(hard=quota.hard, used=quota.used), members)


async def get_deletable(
    services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(DELETE))]
) -> Deletable:
    """Tell whether a project can be deleted."""
    reason = await services.projects.why_not_deletable(project)
    return Deletable(deletable=reason is None, message=reason or "")


async def _may_create(caller: Caller, services: ApiServices, name: str) -> bool:
    """Tell whether the caller may make a project, or everybody with an account may; a limited key does not help."""
    person = caller.principal
    if await caller.may(CREATE_PROJECT, Target(name)):
        return True
    whole = (
        person.kind is PrincipalKind.USER and person.id is not None and person.limits is None and person.scopes is None
    )
    return whole and await services.configuration.get("project_creation_restriction") == "everyone"


def _conditions(name: str, *, public: bool | None, owner: str) -> list[Condition]:
    found = []
    if name:
        found.append(Condition(field="name", match=Match.CONTAINS, values=(name,)))
    if public is not None:
        found.append(Condition(field="public", match=Match.EQUAL, values=(int(public),)))
    if owner:
        found.append(Condition(field="owner", match=Match.EQUAL, values=(owner,)))
    return found
