"""`/usergroups`: groups of people, ours and those of a directory or provider, and who is in ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.accounts.directory.model import PROVIDER
from entrepot.accounts.providers.model import provider_key
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.people.groups import LISTING, LOCAL, GroupRecord
from entrepot.metadata.people.memberships import MEMBER_FIELDS
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import set_location
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.people.group_types import LDAP, OIDC, folded, type_of
from entrepot.web.api.people.group_types import LOCAL as OURS
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("user-group", action) for action in ("list", "read", "create", "update", "delete")
)
Id = Annotated[int, Path(ge=1, lt=2**63, description="The group's number.", examples=[3])]
UserId = Annotated[int, Path(ge=1, lt=2**63, description="The person's number.", examples=[3])]


class GroupFound(BaseModel):
    """A group as searches show it; types are 1 directory, 2 a proxy in front, 3 provider, 4 ours."""

    model_config = ConfigDict(json_schema_extra={"example": {"id": 9, "group_name": "developers", "group_type": 1}})

    id: int
    group_name: str
    group_type: int


class Group(GroupFound):
    """A group; `provider` says who knows who is in it, `subject` what it is called there."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 9,
                "group_name": "developers",
                "group_type": 1,
                "ldap_group_dn": "cn=developers,ou=groups,dc=example,dc=org",
                "provider": "ldap",
                "subject": "cn=developers,ou=groups,dc=example,dc=org",
            }
        }
    )

    ldap_group_dn: str
    provider: str
    subject: str

    @classmethod
    def of(cls, record: GroupRecord) -> Group:
        """Return what is shown of a group."""
        return cls(
            id=record.id,
            group_name=record.name,
            group_type=type_of(record),
            ldap_group_dn=(record.subject or "") if record.provider == PROVIDER else "",
            provider=record.provider,
            subject=record.subject or "",
        )


class GroupRequest(BaseModel):
    """A group to be made or renamed.

    A group of a provider is named by `provider` (`oidc:NAME`) and by the claim's value, in `subject` or as its name.
    """

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"example": {"group_name": "developers", "group_type": 4}}
    )

    group_name: Annotated[str, Field(max_length=255)] = ""
    group_type: Annotated[int, Field(ge=0, le=OURS)] = OURS
    ldap_group_dn: Annotated[str, Field(max_length=1024)] = ""
    provider: Annotated[str, Field(max_length=255)] = ""
    subject: Annotated[str, Field(max_length=1024)] = ""


class GroupMember(BaseModel):
    """Somebody in a group."""

    model_config = ConfigDict(json_schema_extra={"example": {"user_id": 3, "username": "alice", "disabled": False}})

    user_id: int
    username: str
    disabled: bool


class MemberToAdd(BaseModel):
    """Who is to be put into a group."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"user_id": 3}})

    user_id: Annotated[int, Field(ge=1, lt=2**63)]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["usergroup"])
    add = routes.add_api_route
    add("/usergroups", list_groups, methods=["GET"], responses=PAGED, operation_id="listUserGroups")
    add(
        "/usergroups",
        create_group,
        methods=["POST"],
        status_code=201,
        responses=refusals(409),
        operation_id="createUserGroup",
    )
    add("/usergroups/search", search_groups, methods=["GET"], responses=PAGED, operation_id="searchUserGroups")
    one = "/usergroups/{group_id}"
    add(one, get_group, methods=["GET"], operation_id="getUserGroup")
    add(one, update_group, methods=["PUT"], responses=refusals(409), operation_id="updateUserGroup")
    add(one, delete_group, methods=["DELETE"], operation_id="deleteUserGroup")
    members = f"{one}/members"
    add(members, list_members, methods=["GET"], responses=PAGED, operation_id="listUserGroupMembers")
    add(
        members,
        add_member,
        methods=["POST"],
        status_code=201,
        responses=refusals(409, 412),
        operation_id="addUserGroupMember",
    )
    add(
        f"{members}/{{user_id}}",
        remove_member,
        methods=["DELETE"],
        responses=refusals(412),
        operation_id="removeUserGroupMember",
    )
    return routes


async def list_groups(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(LISTING.fields))],
    group_name: Annotated[str, Query(max_length=255, description="A part of the name.", examples=["dev"])] = "",
    ldap_group_dn: Annotated[
        str,
        Query(
            max_length=1024,
            description="The directory's name for it.",
            examples=["cn=developers,ou=groups,dc=example,dc=org"],
        ),
    ] = "",
) -> list[Group]:
    """List all groups."""
    await caller.require(_LIST)
    if ldap_group_dn:
        known = await services.accounts.groups.of_provider(PROVIDER, folded(ldap_group_dn))
        found = [] if known is None else [known]
        describe(request, response, wanted, len(found))
        return [Group.of(record) for record in found]
    named = (Condition(field="group_name", match=Match.CONTAINS, values=(group_name,)),) if group_name else ()
    narrowed = Selection(
        conditions=(*wanted.conditions, *named), order=wanted.order, limit=wanted.limit, offset=wanted.offset
    )
    page = await services.accounts.groups.page(narrowed)
    describe(request, response, wanted, page.total)
    return [Group.of(record) for record in page.items]


async def search_groups(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection({}))],
    groupname: Annotated[str, Query(min_length=1, max_length=255, description="A part of the name.", examples=["dev"])],
) -> list[GroupFound]:
    """Search groups by a part of their names: for whoever may list them, or gives roles in a project."""
    await caller.require_to_choose_members(_LIST)
    found = await services.accounts.groups.search(groupname, wanted)
    describe(request, response, wanted, found.total)
    return [GroupFound(id=g.id, group_name=g.name, group_type=type_of(g)) for g in found.items]


async def create_group(body: GroupRequest, caller: CallerOf, services: ServicesOf) -> Response:
    """Make a group of ours, or one that stands for a group of a directory or provider."""
    await caller.require(_CREATE)
    provider, subject = await _origin(body, services)
    made = await services.accounts.groups.create(
        body.group_name or subject or "", by=caller.source, provider=provider, subject=subject
    )
    response = Response(status_code=201)
    set_location(response, services, f"/usergroups/{made.id}")
    return response


async def get_group(group_id: Id, response: Response, caller: CallerOf, services: ServicesOf) -> Group:
    """Return one group."""
    await caller.require(_READ)
    found = await services.accounts.groups.get(group_id)
    set_etag(response, found.updated_at)
    return Group.of(found)


async def update_group(
    group_id: Id,
    body: GroupRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    expected: Expected,
) -> None:
    """Give a group another name."""
    await caller.require(_UPDATE)
    changed = await services.accounts.groups.rename(group_id, body.group_name, by=caller.source, expected=expected)
    set_etag(response, changed.updated_at)


async def delete_group(group_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a group; what its members had through it, they have no more."""
    await caller.require(_DELETE)
    await services.accounts.groups.remove(group_id, acting=caller.principal, by=caller.source)


async def list_members(
    request: Request,
    response: Response,
    group_id: Id,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(MEMBER_FIELDS))],
) -> list[GroupMember]:
    """List who is in a group."""
    await caller.require(_READ)
    found = await services.accounts.groups.members(group_id, wanted)
    describe(request, response, wanted, found.total)
    return [GroupMember(user_id=m.id, username=m.name, disabled=m.disabled) for m in found.items]


async def add_member(group_id: Id, body: MemberToAdd, caller: CallerOf, services: ServicesOf) -> Response:
    """Put somebody into a group of ours."""
    await caller.require(_UPDATE)
    await services.accounts.groups.add_member(group_id, body.user_id, acting=caller.principal, by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/usergroups/{group_id}/members/{body.user_id}")
    return response


async def remove_member(group_id: Id, user_id: UserId, caller: CallerOf, services: ServicesOf) -> None:
    """Take somebody out of a group of ours."""
    await caller.require(_UPDATE)
    await services.accounts.groups.remove_member(group_id, user_id, acting=caller.principal, by=caller.source)


async def _origin(body: GroupRequest, services: ApiServices) -> tuple[str, str | None]:
    """Return who knows the members of a group, and what it is called there.

    Raises:
        Invalid: That is not said.
    """
    if body.group_type == LDAP or body.ldap_group_dn:
        if not body.ldap_group_dn:
            raise Invalid("ldap_group_dn is missing: name the group as the directory does")
        return PROVIDER, folded(body.ldap_group_dn)
    if body.group_type == OIDC or body.provider.startswith(provider_key("")):
        name = str(await services.configuration.get("oidc_name"))
        provider = body.provider or (provider_key(name) if name else "")
        if not provider:
            raise Invalid("provider is missing: say which one knows the group, as oidc:NAME")
        return provider, body.subject or body.group_name
    return LOCAL, None
