"""`/grants`: everything that was given, to whom and where, on the registry, on projects and on parts of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from entrepot.access.model import Audience
from entrepot.access.permissions import Permission as AccessPermission
from entrepot.accounts.grant_requests import Extent, Gift
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.filtering import Selection
from entrepot.metadata.people.grants import GrantRecord
from entrepot.metadata.people.members import GRANTS
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.locations import set_location
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.people.permissions import Permission
from entrepot.web.api.refusals import refusals
from entrepot.web.api.values import moment, moment_or_none

#: Giving and taking rights on the whole registry goes with the right to change roles.
_LIST, _UPDATE = AccessPermission("role:list"), AccessPermission("role:update")
Id = Annotated[int, Path(ge=1, lt=2**63, description="The grant's number.", examples=[44])]
_Text = Annotated[str, Field(min_length=1, max_length=512)]


class Grant(BaseModel):
    """A role, or permissions one by one, given to a user, a robot, a group or an audience; nowhere else: everywhere."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 44,
                "principal_id": 3,
                "principal_kind": "user",
                "principal_name": "alice",
                "audience": None,
                "role_id": 2,
                "role_name": "developer",
                "permissions": [],
                "project_name": "demo",
                "repositories": "demo/web/**",
                "tags": None,
                "expires_at": None,
                "origin": "given",
                "creation_time": "2026-01-02T03:04:05Z",
            }
        }
    )

    id: int
    principal_id: int | None
    principal_kind: str | None
    principal_name: str | None
    audience: str | None
    role_id: int | None
    role_name: str | None
    permissions: list[Permission]
    project_name: str | None
    repositories: str | None
    tags: str | None
    expires_at: datetime | None
    origin: str
    creation_time: datetime

    @classmethod
    def of(cls, record: GrantRecord) -> Grant:
        """Return what is shown of a grant."""
        given = () if record.role_id is not None else map(AccessPermission, sorted(record.permissions))
        return cls(
            id=record.id,
            principal_id=record.principal_id,
            principal_kind=record.principal_kind,
            principal_name=record.principal_name,
            audience=record.audience,
            role_id=record.role_id,
            role_name=record.role,
            permissions=[Permission(resource=p.resource, action=p.action) for p in given],
            project_name=record.project,
            repositories=record.repositories,
            tags=record.tags,
            expires_at=moment_or_none(record.expires_at),
            origin=record.origin,
            creation_time=moment(record.created_at),
        )


class GrantRequest(BaseModel):
    """A grant to be made: who gets what, where and until when."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"principal_id": 3, "role_id": 2, "repositories": "team-*/web/**"}},
    )

    principal_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    audience: Audience | None = None
    role_id: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    permissions: Annotated[list[Permission], Field(max_length=500)] | None = None
    project_name: _Text | None = None
    repositories: _Text | None = None
    tags: _Text | None = None
    expires_at: AwareDatetime | None = None

    def gift(self) -> Gift:
        """Return it as the use cases know it."""
        ends = None if self.expires_at is None else int(self.expires_at.astimezone(UTC).timestamp() * MICROSECONDS)
        texts = [AccessPermission.of(each.resource, each.action) for each in self.permissions or ()]
        return Gift(
            principal_id=self.principal_id,
            audience=self.audience,
            role_id=self.role_id,
            permissions=frozenset(texts) if self.permissions is not None else None,
            project=self.project_name,
            extent=Extent(repositories=self.repositories, tags=self.tags, expires_at=ends),
        )


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["grant"])
    add = routes.add_api_route
    add("/grants", list_grants, methods=["GET"], responses=PAGED, operation_id="listGrants")
    add(
        "/grants",
        create_grant,
        methods=["POST"],
        status_code=201,
        responses=refusals(404, 409),
        operation_id="createGrant",
    )
    add("/grants/{grant_id}", get_grant, methods=["GET"], operation_id="getGrant")
    add("/grants/{grant_id}", delete_grant, methods=["DELETE"], responses=refusals(412), operation_id="deleteGrant")
    return routes


async def list_grants(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(GRANTS.fields))],
) -> list[Grant]:
    """List every grant there is, those to audiences and the one of registry:2's ways included."""
    await caller.require(_LIST)
    found = await services.accounts.grants.page(wanted)
    describe(request, response, wanted, found.total)
    return [Grant.of(record) for record in found.items]


async def get_grant(grant_id: Id, caller: CallerOf, services: ServicesOf) -> Grant:
    """Return one grant."""
    await caller.require(_LIST)
    return Grant.of(await services.accounts.grants.get(grant_id))


async def create_grant(body: GrantRequest, caller: CallerOf, services: ServicesOf) -> Response:
    """Give a role or permissions; nobody gives what they do not have."""
    await caller.require(_UPDATE)
    made = await services.accounts.grants.give(body.gift(), acting=caller.principal, by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/grants/{made.id}")
    return response


async def delete_grant(grant_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Take a grant back, from nobody who may more than the caller."""
    await caller.require(_UPDATE)
    grant = await services.accounts.grants.get(grant_id)
    if grant.principal_id is not None:
        await require_to_outrank(services.metadata, caller.authorizer, caller.principal, grant.principal_id)
    await services.accounts.grants.take(grant_id, acting=caller.principal, by=caller.source)
