"""`/projects/{project}/members`: the roles that people and groups have on a project, or on a part of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.permissions import Permission
from entrepot.accounts.grant_requests import Extent
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.people import members as rows
from entrepot.metadata.people.grants import GrantRecord
from entrepot.metadata.people.principals import GROUP
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.locations import set_location
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.people.group_types import GroupNamed, group_for
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices
from entrepot.web.api.values import moment_or_none

_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("member", action) for action in ("list", "read", "create", "update", "delete")
)
_BASE = "/projects/{project_name_or_id}/members"

Id = Annotated[int, Path(ge=1, lt=2**63, description="The number of the role given.", examples=[12])]
RoleId = Annotated[int, Field(ge=1, lt=2**31, description="1 projectAdmin, 2 developer, 3 guest, 4 maintainer, ...")]
PatternText = Annotated[str | None, Field(max_length=512)]


class Member(BaseModel):
    """A member; `repositories`, `tags` and `expires_at` are empty for roles on all of the project, for ever."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 12,
                "project_id": 7,
                "entity_name": "alice",
                "entity_id": 3,
                "entity_type": "u",
                "role_id": 2,
                "role_name": "developer",
                "repositories": "demo/web/**",
                "tags": None,
                "expires_at": "2027-01-01T00:00:00Z",
            }
        }
    )

    id: int
    project_id: int
    entity_name: str
    entity_id: int
    entity_type: str
    role_id: int
    role_name: str
    repositories: str | None
    tags: str | None
    expires_at: datetime | None

    @classmethod
    def of(cls, record: GrantRecord) -> Member:
        """Return what is shown of a member."""
        return cls(
            id=record.id,
            project_id=record.project_id or 0,
            entity_name=record.principal_name or "",
            entity_id=record.principal_id or 0,
            entity_type="g" if record.principal_kind == GROUP else "u",
            role_id=record.role_id or 0,
            role_name=record.role or "",
            repositories=record.repositories,
            tags=record.tags,
            expires_at=moment_or_none(record.expires_at),
        )


class UserNamed(BaseModel):
    """A user, by number or by name; Harbor's clients send an empty one where they mean a group."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"username": "alice"}})

    user_id: Annotated[int, Field(ge=0, lt=2**63)] = 0
    username: Annotated[str, Field(max_length=255)] = ""

    @property
    def says(self) -> bool:
        """Whether it names anybody."""
        return bool(self.user_id or self.username)


class RoleRequest(BaseModel):
    """A role, and the part of the project that it is for; left out: all of it, for ever.

    Whose role it is cannot be changed: what clients send back of that is left alone.
    """

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"example": {"role_id": 2, "repositories": "demo/web/**"}}
    )

    role_id: RoleId
    repositories: PatternText = None
    tags: PatternText = None
    expires_at: AwareDatetime | None = None

    def extent(self) -> Extent:
        """Return the part of the project that the role is for."""
        ends = None if self.expires_at is None else int(self.expires_at.astimezone(UTC).timestamp() * MICROSECONDS)
        return Extent(repositories=self.repositories, tags=self.tags, expires_at=ends)

    @property
    def says_extent(self) -> bool:
        """Whether anything but the role is said."""
        return bool(self.model_fields_set & {"repositories", "tags", "expires_at"})


class MemberRequest(RoleRequest):
    """A member to be added: a user or a group."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"role_id": 2, "member_user": {"username": "alice"}}}
    )

    member_user: UserNamed | None = None
    member_group: GroupNamed | None = None


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["member"])
    add = routes.add_api_route
    add(_BASE, list_members, methods=["GET"], responses=PAGED, operation_id="listProjectMembers")
    add(
        _BASE,
        create_member,
        methods=["POST"],
        status_code=201,
        responses=refusals(409),
        operation_id="createProjectMember",
    )
    one = _BASE + "/{mid}"
    add(one, get_member, methods=["GET"], operation_id="getProjectMember")
    add(one, update_member, methods=["PUT"], operation_id="updateProjectMember")
    add(one, delete_member, methods=["DELETE"], operation_id="deleteProjectMember")
    return routes


async def list_members(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_LIST))],
    wanted: Annotated[Selection, Depends(selection(rows.MEMBERS.fields))],
    entityname: Annotated[str, Query(max_length=255, description="A part of the name.", examples=["ali"])] = "",
) -> list[Member]:
    """List the members of a project."""
    named = (Condition(field="entity_name", match=Match.CONTAINS, values=(entityname,)),) if entityname else ()
    narrowed = Selection(
        conditions=(*wanted.conditions, *named), order=wanted.order, limit=wanted.limit, offset=wanted.offset
    )
    found = await services.accounts.members.page(project, narrowed)
    describe(request, response, wanted, found.total)
    return [Member.of(record) for record in found.items]


async def create_member(
    body: MemberRequest,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_CREATE))],
) -> Response:
    """Give a user or a group a role on the project; nobody gives a role that may more than they may themselves."""
    principal = await _entity(body, services, caller.source)
    made = await services.accounts.members.add(
        project, principal, body.role_id, acting=caller.principal, by=caller.source, extent=body.extent()
    )
    response = Response(status_code=201)
    set_location(response, services, f"/projects/{project.id}/members/{made.id}")
    return response


async def get_member(
    mid: Id, services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(_READ))]
) -> Member:
    """Return one member."""
    return Member.of(await services.accounts.members.get(project, mid))


async def update_member(
    mid: Id,
    body: RoleRequest,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_UPDATE))],
) -> None:
    """Give a member who may no more than the caller another role; the part stays unless another is said."""
    await services.accounts.members.change(
        project,
        mid,
        body.role_id,
        acting=caller.principal,
        by=caller.source,
        extent=body.extent() if body.says_extent else None,
    )


async def delete_member(
    mid: Id,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_DELETE))],
) -> None:
    """Take a member's role on the project back; nobody takes from others what they have not themselves."""
    await services.accounts.members.remove(project, mid, acting=caller.principal, by=caller.source)


async def _entity(body: MemberRequest, services: ApiServices, by: Source) -> int:
    """Return the id of the user or group that a request names.

    Raises:
        Invalid: It names none, or both.
        NotFound: There is none.
    """
    group = body.member_group if body.member_group is not None and body.member_group.says else None
    named = body.member_user if body.member_user is not None and body.member_user.says else None
    if group is not None and named is None:
        return (await group_for(group, services, by)).id
    if named is None or group is not None:
        raise Invalid("say member_user or member_group")
    if named.user_id:
        return (await services.accounts.users.get(named.user_id)).id
    found = await services.accounts.users.find(named.username)
    if found is None:
        raise NotFound(f"there is no user {named.username!a}")
    return found.id
