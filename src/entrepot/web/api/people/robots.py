"""`/robots`: accounts of machines, of the registry as a whole and of projects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.model import SYSTEM_TARGET, Target
from entrepot.access.permissions import Permission
from entrepot.accounts.robot_model import NewRobot, Robot, RobotChange
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.filtering import Condition, Field, Kind, Match, Selection
from entrepot.metadata.people import robots as rows
from entrepot.metadata.tables import projects, robots
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.lookups.project_lookup import find_project
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.people.robot_models import PROJECT, SYSTEM, RobotMade, RobotOut, RobotRequest, Secret, SecretMade
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("robot", action) for action in ("list", "read", "create", "update", "delete")
)
#: Harbor's words for which robots are meant, in either spelling.
_LEVEL: Final = ("Level", "level")
_PROJECT: Final = ("ProjectID", "project_id")
_FIELDS: Final[Mapping[str, Field]] = {
    **rows.FIELDS,
    **{name: Field(column=projects.c.name) for name in _LEVEL},
    **{name: Field(column=robots.c.project_id, kind=Kind.NUMBER) for name in _PROJECT},
}
Id = Annotated[int, Path(ge=1, lt=2**63, description="The robot's number.", examples=[21])]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["robot"])
    add = routes.add_api_route
    add("/robots", list_robots, methods=["GET"], responses=PAGED | refusals(404), operation_id="ListRobot")
    add(
        "/robots",
        create_robot,
        methods=["POST"],
        status_code=201,
        responses=LOCATED | refusals(404, 409),
        operation_id="CreateRobot",
    )
    one = "/robots/{robot_id}"
    add(one, get_robot, methods=["GET"], operation_id="GetRobotByID")
    add(one, update_robot, methods=["PUT"], operation_id="UpdateRobot")
    add(one, refresh_secret, methods=["PATCH"], operation_id="RefreshSec")
    add(one, delete_robot, methods=["DELETE"], operation_id="DeleteRobot")
    return routes


async def list_robots(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(_FIELDS))],
) -> list[RobotOut]:
    """List the robots of the registry as a whole, or with `q=Level=project,ProjectID=N` those of a project."""
    level, project_id = _one(wanted, _LEVEL) or SYSTEM, _one(wanted, _PROJECT)
    project = await _place(caller, services, _LIST, str(level), None if project_id is None else str(project_id))
    rest = tuple(c for c in wanted.conditions if c.field not in (*_LEVEL, *_PROJECT))
    narrowed = replace(wanted, conditions=rest)
    found = await services.accounts.robots.page(None if project is None else project.id, narrowed)
    describe(request, response, wanted, found.total)
    return [RobotOut.of(robot) for robot in found.items]


async def create_robot(body: RobotRequest, response: Response, caller: CallerOf, services: ServicesOf) -> RobotMade:
    """Make a robot; its secret is in the answer, this once. It can do nothing that the caller cannot do."""
    permissions = body.given_permissions() or ()
    namespaces = {permission.namespace for permission in permissions}
    named = next(iter(namespaces)) if len(namespaces) == 1 else None
    project = await _place(caller, services, _CREATE, body.level, named, is_name=True)
    new = NewRobot(
        name=body.name,
        project=None if project is None else project.name,
        description=body.description or "",
        duration=body.duration,
        disabled=bool(body.disable),
        permissions=permissions,
        secret=body.secret or None,
        trust=body.given_trust() or (),
    )
    made = await services.accounts.robots.create(new, acting=caller.principal, by=caller.source)
    set_location(response, services, f"/robots/{made.robot.id}")
    return RobotMade.of(made)


async def get_robot(robot_id: Id, response: Response, caller: CallerOf, services: ServicesOf) -> RobotOut:
    """Return one robot."""
    found = await _found(caller, services, _READ, robot_id)
    set_etag(response, found.updated_at)
    return RobotOut.of(found)


async def update_robot(
    robot_id: Id,
    body: RobotRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    expected: Expected,
) -> None:
    """Change what a robot may do and how long, or close it; what is left out stays, and so does its name.

    With `permissions` it is all of the robot, as Harbor's clients write it: without a description it has none, and
    without `disable` it is open.
    """
    await _found(caller, services, _UPDATE, robot_id)
    whole = body.permissions is not None
    change = RobotChange(
        description="" if whole and body.description is None else body.description,
        duration=body.duration or None,
        disabled=False if whole and body.disable is None else body.disable,
        permissions=body.given_permissions(),
        trust=body.given_trust(),
    )
    changed = await services.accounts.robots.update(
        robot_id, change, acting=caller.principal, by=caller.source, expected=expected
    )
    set_etag(response, changed.updated_at)


async def refresh_secret(robot_id: Id, body: Secret, caller: CallerOf, services: ServicesOf) -> SecretMade:
    """Give a robot another secret: one that is made here, or the one that is given."""
    await _found(caller, services, _UPDATE, robot_id)
    made = await services.accounts.robots.refresh_secret(
        robot_id, body.secret or None, acting=caller.principal, by=caller.source, grace=body.grace
    )
    return SecretMade(secret="" if body.secret else made.secret)


async def delete_robot(robot_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a robot, which may no more than the caller, with its secrets and rights."""
    await _found(caller, services, _DELETE, robot_id)
    await services.accounts.robots.remove(robot_id, acting=caller.principal, by=caller.source)


async def _place(
    caller: Caller,
    services: ApiServices,
    permission: Permission,
    level: str,
    project: str | None,
    *,
    is_name: bool = False,
) -> ProjectRecord | None:
    """Return the project whose robots are meant, once the caller may; None for those of the registry as a whole.

    Raises:
        Invalid: The level is none, or does not say which project.
    """
    if level == SYSTEM:
        await caller.require(permission)
        return None
    if level != PROJECT:
        raise Invalid("level is missing: say system, or project")
    if project is None:
        caller.require_sign_in()
        raise Invalid("say which project: in q as Level=project,ProjectID=N, in a robot as its permissions' namespace")
    return await find_project(caller, services, permission, project, is_name=is_name)


async def _found(caller: Caller, services: ApiServices, permission: Permission, robot_id: int) -> Robot:
    """Return a robot, once the caller may do something with it; else it looks as if it were not."""
    unknown = f"there is no robot {robot_id}, or you may not see it"
    try:
        robot = await services.accounts.robots.find(robot_id)
    except NotFound:
        caller.require_sign_in()
        raise NotFound(unknown) from None
    target = SYSTEM_TARGET if robot.project is None else Target(robot.project)
    await caller.require(permission, target, hidden=unknown)
    return robot


def _one(wanted: Selection, names: tuple[str, ...]) -> str | int | None:
    """Return the value that one of these fields must have; None when nothing is said.

    Raises:
        Invalid: It is compared otherwise.
    """
    for condition in wanted.conditions:
        if condition.field in names:
            return _exact(condition)
    return None


def _exact(condition: Condition) -> str | int | None:
    if condition.match is not Match.EQUAL:
        raise Invalid(f"q: {condition.field} can only be asked for exactly, as {condition.field}=...")
    return condition.values[0]
