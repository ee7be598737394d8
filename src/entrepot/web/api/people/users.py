"""`/users`: people, made, listed, searched, changed, closed and removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from entrepot.access.faults import NotFound, PreconditionFailed
from entrepot.access.model import PrincipalKind
from entrepot.access.permissions import Permission
from entrepot.metadata.filtering import Selection
from entrepot.metadata.people.users import LISTING
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import set_location
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.people.own_account import require_person
from entrepot.web.api.people.user_models import (
    DisabledRequest,
    ProfileRequest,
    SysadminRequest,
    User,
    UserFound,
    UserRequest,
)
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("user", action) for action in ("list", "read", "create", "update", "delete")
)
Id = Annotated[int, Path(ge=1, lt=2**63, description="The person's number.", examples=[3])]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["user"])
    add = routes.add_api_route
    add("/users", list_users, methods=["GET"], responses=PAGED, operation_id="listUsers")
    add("/users", create_user, methods=["POST"], status_code=201, responses=refusals(409), operation_id="createUser")
    add("/users/current", get_current, methods=["GET"], responses=refusals(412), operation_id="getCurrentUserInfo")
    add("/users/search", search_users, methods=["GET"], responses=PAGED, operation_id="searchUsers")
    one = "/users/{user_id}"
    add(one, get_user, methods=["GET"], operation_id="getUser")
    add(one, update_user, methods=["PUT"], operation_id="updateUserProfile")
    add(one, delete_user, methods=["DELETE"], responses=refusals(412), operation_id="deleteUser")
    add(f"{one}/sysadmin", set_sysadmin, methods=["PUT"], responses=refusals(412), operation_id="setUserSysAdmin")
    add(f"{one}/disabled", set_disabled, methods=["PUT"], responses=refusals(412), operation_id="setUserDisabled")
    add(f"{one}/cli_secret", set_cli_secret, methods=["PUT"], responses=refusals(412), operation_id="setCliSecret")
    return routes


async def list_users(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(LISTING.fields))],
) -> list[User]:
    """List all people."""
    await caller.require(_LIST)
    found = await services.accounts.users.page(wanted)
    describe(request, response, wanted, found.total)
    return [User.of(record) for record in found.items]


async def create_user(body: UserRequest, caller: CallerOf, services: ServicesOf) -> Response:
    """Make a local account; whoever has not signed in makes their own, where `self_registration` allows it.

    Without a password the person gets a link to set one (`POST /users/{user_id}/reset_link`).
    """
    users = services.accounts.users
    if caller.principal.is_anonymous:
        allowed = bool(await services.configuration.get("self_registration"))
        if not allowed:
            caller.require_sign_in()
        made = await users.register(
            body.username,
            body.password or "",
            by=caller.source,
            allowed=allowed,
            email=body.email,
            realname=body.realname,
        )
    else:
        await caller.require(_CREATE)
        made = await users.create(
            body.username,
            body.password,
            by=caller.source,
            email=body.email,
            realname=body.realname,
            comment=body.comment,
        )
    response = Response(status_code=201)
    set_location(response, services, f"/users/{made.id}")
    return response


async def get_current(caller: CallerOf, services: ServicesOf) -> User:
    """Return who is signed in."""
    caller.require_sign_in()
    if caller.principal.kind is not PrincipalKind.USER:
        raise PreconditionFailed("you are no person: robots have GET /api/v2.0/robots")
    found = await services.accounts.users.find(caller.principal.name) if caller.principal.id else None
    return User.of_name(caller.principal) if found is None else User.of(found)


async def search_users(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection({}))],
    username: Annotated[
        str, Query(min_length=1, max_length=255, description="A part of the account's name.", examples=["ali"])
    ],
) -> list[UserFound]:
    """Search people by a part of their account's name; open to all people who have signed in, as in Harbor.

    Robots, and keys that may not do everything their account may, have to give roles in some project.
    """
    principal = caller.principal
    if principal.kind is not PrincipalKind.USER or principal.limits is not None or principal.scopes is not None:
        await caller.require_to_choose_members(_LIST)
    found = await services.accounts.users.search(username, wanted)
    describe(request, response, wanted, found.total)
    return [UserFound(user_id=record.id, username=record.name) for record in found.items]


async def get_user(user_id: Id, response: Response, caller: CallerOf, services: ServicesOf) -> User:
    """Return one person; one's own account is open to everybody."""
    await _require_for(caller, user_id, _READ)
    found = await services.accounts.users.get(user_id)
    set_etag(response, found.updated_at)
    return User.of(found)


async def update_user(
    user_id: Id,
    body: ProfileRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    expected: Expected,
) -> None:
    """Change address, name and comment of a person, or one's own."""
    if caller.principal.id == user_id:
        require_person(caller)
    else:
        await caller.require(_UPDATE)
    changed = await services.accounts.users.change(
        user_id, by=caller.source, email=body.email, realname=body.realname, comment=body.comment, expected=expected
    )
    set_etag(response, changed.updated_at)


async def delete_user(user_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Remove an account with its grants, keys and sessions; what it pushed stays."""
    await caller.require(_DELETE)
    await services.accounts.users.remove(user_id, acting=caller.principal, by=caller.source)


async def set_sysadmin(user_id: Id, body: SysadminRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Make somebody an administrator of the whole registry, or take that back."""
    await caller.require(_UPDATE)
    await services.accounts.users.set_sysadmin(
        user_id, sysadmin=body.sysadmin_flag, acting=caller.principal, by=caller.source
    )


async def set_disabled(user_id: Id, body: DisabledRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Close an account with all that is open, or open it again."""
    await caller.require(_UPDATE)
    await services.accounts.users.set_disabled(
        user_id, disabled=body.disabled, acting=caller.principal, by=caller.source
    )


async def set_cli_secret(user_id: Id, caller: CallerOf) -> None:
    """Harbor's one secret of people of a provider: here they have any number of keys of their own."""
    await _require_for(caller, user_id, _UPDATE)
    raise PreconditionFailed("make a key with POST /api/v2.0/users/current/keys, and sign in with it in its place")


async def _require_for(caller: Caller, user_id: int, permission: Permission) -> None:
    """Go on if the account is the caller's own, or they may do this to others."""
    if caller.principal.id != user_id:
        await caller.require(permission)


async def owner_of(caller: Caller, services: ApiServices, user: str, permission: Permission) -> int:
    """Return the number of the account that a path names: `current`, or a number of one that the caller may treat so.

    Raises:
        AccessRefused: Nobody has signed in.
        Forbidden: It is somebody else's, and the caller may not.
        NotFound: There is no such account, or the caller has none that is kept here.
    """
    caller.require_sign_in()
    if user == "current":
        if caller.principal.id is None:
            raise NotFound("your account is not kept here; name the one that is meant (--user NAME in a command)")
        return caller.principal.id
    if not user.isascii() or not user.isdigit() or int(user[:20]) >= 2**63:
        raise NotFound("there is no such user")
    user_id = int(user)
    await _require_for(caller, user_id, permission)
    if caller.principal.id != user_id:
        await services.accounts.users.get(user_id)
    return user_id
