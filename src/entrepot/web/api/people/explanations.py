"""What somebody may, and why: `/permissions/explain` and `/users/current/permissions`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from entrepot.access.faults import Invalid
from entrepot.access.model import SYSTEM_TARGET, Decision, Target
from entrepot.access.permissions import PROJECT, SYSTEM
from entrepot.access.permissions import Permission as AccessPermission
from entrepot.accounts.explanations import action_named, target_named
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.people.permissions import Permission
from entrepot.web.api.refusals import refusals

_READ_USER: Final = AccessPermission("user:read")
_SCOPE: Final = re.compile(r"/project/([^/]{1,255})/?")


class Explanation(BaseModel):
    """Whether somebody may, the grant that says so or why nothing does, and all that was looked at."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "allowed": False,
                "reason": "no grant allows repository:push on repository demo/app",
                "trace": ["grant 44: role guest on project demo: it does not include the permission"],
            }
        }
    )

    allowed: bool
    reason: str
    trace: list[str]

    @classmethod
    def of(cls, decision: Decision) -> Explanation:
        """Return what is shown of a decision."""
        return cls(allowed=decision.allowed, reason=decision.reason, trace=list(decision.trace))


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["permissions"])
    add = routes.add_api_route
    add("/permissions/explain", explain, methods=["GET"], responses=refusals(404), operation_id="explainPermission")
    add("/users/current/permissions", list_own, methods=["GET"], operation_id="getCurrentUserPermissions")
    return routes


async def explain(
    caller: CallerOf,
    services: ServicesOf,
    action: Annotated[
        str, Query(max_length=255, description="pull, push, delete, or a permission: tag:create.", examples=["push"])
    ],
    target: Annotated[
        str,
        Query(
            max_length=512,
            description="team/app, team/app:v1, a project as team/, or nothing for the registry.",
            examples=["demo/app:v1"],
        ),
    ] = "",
    user: Annotated[
        str, Query(max_length=255, description="Whom it is about; the caller if nobody is named.", examples=["alice"])
    ] = "",
    *,
    robot: Annotated[bool, Query(description="The name is a robot's.")] = False,
) -> Explanation:
    """Say which grant allows something, or why none does; of others this is for whoever may read accounts."""
    caller.require_sign_in()
    if not user:
        decision = await caller.authorizer.explain(caller.principal, action_named(action), target_named(target))
        return Explanation.of(decision)
    await caller.require(_READ_USER)
    return Explanation.of(await services.accounts.explaining.explain(user, action, target, robot=robot))


async def list_own(
    caller: CallerOf,
    services: ServicesOf,
    scope: Annotated[
        str, Query(max_length=300, description="/project/N for a project's number or name.", examples=["/project/demo"])
    ] = "",
    *,
    relative: Annotated[bool, Query(description="Without the scope before each resource.")] = False,
) -> list[Permission]:
    """List what the caller may, on the registry as a whole or within a project."""
    caller.require_sign_in()
    table, target, place = SYSTEM, SYSTEM_TARGET, "/system"
    if scope:
        table, target, place = PROJECT, await _project(services, scope), scope.rstrip("/")
    asked = caller.authorizer.now()
    found = []
    for resource, actions in table.items():
        for action in actions:
            permission = AccessPermission.of(resource, action)
            if (await asked.allows(caller.principal, permission, target)).allowed:
                found.append(Permission(resource=resource if relative else f"{place}/{resource}", action=action))
    return found


async def _project(services: ServicesOf, scope: str) -> Target:
    """Return the project that a scope names; one that is not there allows nothing, like one that is hidden.

    Raises:
        Invalid: It is no scope.
    """
    match = _SCOPE.fullmatch(scope)
    if match is None:
        raise Invalid("scope: write it as /project/N, with the project's number or name")
    project = await services.projects.find(match[1])
    return Target(match[1] if project is None else project.name)
