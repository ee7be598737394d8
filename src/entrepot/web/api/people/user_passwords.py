"""`/users/{user_id}/password` and links to set one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from entrepot.access.faults import PreconditionFailed
from entrepot.access.permissions import Permission
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.web.api.caller import CallerChangingPassword, CallerOf, ServicesOf, own_request
from entrepot.web.api.people.own_account import require_person
from entrepot.web.api.people.user_models import PasswordRequest, ResetLinkMade, ResetRequest
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices
from entrepot.web.api.values import moment
from entrepot.web.distribution.locations import own_address
from entrepot.web.reset_page import reset_path

_UPDATE = Permission("user:update")
Id = Annotated[int, Path(ge=1, lt=2**63, description="The person's number.", examples=[3])]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["user"])
    add = routes.add_api_route
    add(
        "/users/{user_id}/password",
        change_password,
        methods=["PUT"],
        responses=refusals(412),
        operation_id="updateUserPassword",
    )
    add(
        "/users/{user_id}/reset_link",
        make_reset_link,
        methods=["POST"],
        status_code=201,
        responses=refusals(412),
        operation_id="makePasswordResetLink",
    )
    add(
        "/users/reset_password", reset_password, methods=["POST"], responses=refusals(412), operation_id="resetPassword"
    )
    return routes


async def change_password(
    user_id: Id, body: PasswordRequest, caller: CallerChangingPassword, services: ServicesOf
) -> None:
    """Change one's own password, knowing the old one, or give somebody a new one; what the old one opened ends."""
    passwords = _passwords(services)
    if caller.principal.id == user_id:
        require_person(caller)
        await passwords.change_own(user_id, body.old_password, body.new_password, by=caller.source)
        return
    await caller.require(_UPDATE)
    await passwords.set_by_admin(
        user_id, body.new_password, acting=caller.principal, by=caller.source, must_change=body.must_change
    )


async def make_reset_link(user_id: Id, request: Request, caller: CallerOf, services: ServicesOf) -> ResetLinkMade:
    """Make what allows somebody to set their password once, within half an hour."""
    await caller.require(_UPDATE)
    if caller.principal.id == user_id:
        require_person(caller)  # a key or token of one's own must not become all that one may do
    made = await _passwords(services).make_reset_link(user_id, acting=caller.principal, by=caller.source)
    link = own_address(own_request(request), services.web) + reset_path(made.token)
    return ResetLinkMade(token=made.token, link=link, expires_at=moment(made.expires_at))


async def reset_password(body: ResetRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Set one's password with what an administrator handed out; nobody need have signed in."""
    await _passwords(services).use_reset_link(body.token, body.new_password, by=caller.source)


def _passwords(services: ApiServices) -> UserPasswords:
    if services.accounts.passwords is None:
        raise PreconditionFailed("this registry keeps no passwords: its configuration says who knows them")
    return services.accounts.passwords
