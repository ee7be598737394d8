"""`/permissions`: everything that can be allowed, for roles, robots and keys."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from entrepot.access.permissions import PROJECT, SYSTEM
from entrepot.web.api.caller import CallerOf


class Permission(BaseModel):
    """One thing that can be allowed."""

    model_config = ConfigDict(json_schema_extra={"example": {"resource": "repository", "action": "pull"}})

    resource: str
    action: str


class Permissions(BaseModel):
    """Everything that can be allowed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "system": [{"resource": "project", "action": "create"}],
                "project": [{"resource": "repository", "action": "pull"}],
            }
        }
    )

    system: list[Permission]
    project: list[Permission]


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["permissions"])
    routes.add_api_route("/permissions", get_permissions, methods=["GET"], operation_id="getPermissions")
    return routes


async def get_permissions(caller: CallerOf) -> Permissions:
    """List everything that can be allowed, on the registry as a whole and within a project."""
    caller.require_sign_in()
    return Permissions(system=_listed(SYSTEM), project=_listed(PROJECT))


def _listed(table: Mapping[str, tuple[str, ...]]) -> list[Permission]:
    return [Permission(resource=resource, action=action) for resource, actions in table.items() for action in actions]
