"""`/roles`: Harbor's five, ours for the whole registry, and those that people make from the list of permissions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.permissions import Permission as AccessPermission
from entrepot.metadata.people.roles import RoleRecord
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import set_location
from entrepot.web.api.people.permissions import Permission
from entrepot.web.api.refusals import refusals

_CREATE, _UPDATE, _DELETE = (AccessPermission.of("role", action) for action in ("create", "update", "delete"))
Id = Annotated[int, Path(ge=1, lt=2**63, description="The role's number.", examples=[4])]


class Role(BaseModel):
    """A role; those that are built in stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 1000,
                "name": "releaser",
                "description": "Pushes and tags",
                "permissions": [{"resource": "repository", "action": "push"}],
                "built_in": False,
            }
        }
    )

    id: int
    name: str
    description: str
    permissions: list[Permission]
    built_in: bool

    @classmethod
    def of(cls, record: RoleRecord) -> Role:
        """Return what is shown of a role."""
        given = map(AccessPermission, sorted(record.permissions))
        return cls(
            id=record.id,
            name=record.name,
            description=record.description,
            permissions=[Permission(resource=p.resource, action=p.action) for p in given],
            built_in=record.built_in,
        )


class RoleRequest(BaseModel):
    """A role to be made or changed; `*` stands for every resource or every action."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "releaser", "permissions": [{"resource": "repository", "action": "push"}]}
        },
    )

    name: Annotated[str, Field(max_length=255)]
    description: Annotated[str, Field(max_length=4096)] = ""
    permissions: Annotated[list[Permission], Field(max_length=500)]

    def texts(self) -> list[str]:
        """Return the permissions as the use cases read them."""
        return [AccessPermission.of(each.resource, each.action) for each in self.permissions]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["role"])
    add = routes.add_api_route
    add("/roles", list_roles, methods=["GET"], operation_id="listRoles")
    add("/roles", create_role, methods=["POST"], status_code=201, responses=refusals(409), operation_id="createRole")
    add("/roles/{role_id}", get_role, methods=["GET"], operation_id="getRole")
    add("/roles/{role_id}", update_role, methods=["PUT"], responses=refusals(409, 412), operation_id="updateRole")
    add("/roles/{role_id}", delete_role, methods=["DELETE"], responses=refusals(412), operation_id="deleteRole")
    return routes


async def list_roles(caller: CallerOf, services: ServicesOf) -> list[Role]:
    """List all roles; open to whoever has signed in, since project administrators give them."""
    caller.require_sign_in()
    return [Role.of(record) for record in await services.accounts.roles.list()]


async def get_role(role_id: Id, response: Response, caller: CallerOf, services: ServicesOf) -> Role:
    """Return one role; open to whoever has signed in."""
    caller.require_sign_in()
    found = await services.accounts.roles.get(role_id)
    set_etag(response, found.updated_at)
    return Role.of(found)


async def create_role(body: RoleRequest, caller: CallerOf, services: ServicesOf) -> Response:
    """Make a role from permissions that the caller has."""
    await caller.require(_CREATE)
    made = await services.accounts.roles.create(
        body.name, body.texts(), acting=caller.principal, by=caller.source, description=body.description
    )
    response = Response(status_code=201)
    set_location(response, services, f"/roles/{made.id}")
    return response


async def update_role(
    role_id: Id,
    body: RoleRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    expected: Expected,
) -> None:
    """Change a role, for all who have it."""
    await caller.require(_UPDATE)
    changed = await services.accounts.roles.change(
        role_id,
        name=body.name,
        permissions=body.texts(),
        acting=caller.principal,
        by=caller.source,
        description=body.description,
        expected=expected,
    )
    set_etag(response, changed.updated_at)


async def delete_role(role_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a role that nobody has."""
    await caller.require(_DELETE)
    await services.accounts.roles.remove(role_id, by=caller.source)
