"""`/users/current/second_factor/keys`: one's security keys and passkeys, the other kind of second factor."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request

from entrepot.access.second_factor.security_key_answers import Registration
from entrepot.web.api.caller import Caller, CallerOf, CallerSettingUp, ServicesOf, own_request
from entrepot.web.api.people.own_account import renew_session, require_person, security_keys_of
from entrepot.web.api.people.security_key_models import (
    CreationOptions,
    NameIn,
    PasswordIn,
    RegistrationIn,
    SecurityKey,
    SecurityKeyMade,
)
from entrepot.web.api.refusals import refusals
from entrepot.web.security_keys.party import party_of

_PATH: Final = "/users/current/second_factor/keys"
#: What a registration is bound to that no session began.
_NO_SESSION: Final = "password"

Id = Annotated[int, Path(ge=1, lt=2**63, description="The security key's number.", examples=[4])]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["second factor"])
    add, refused = routes.add_api_route, refusals(404, 409)
    add(_PATH, list_keys, methods=["GET"], responses=refusals(404), operation_id="listSecurityKeys")
    add(_PATH, begin, methods=["POST"], status_code=201, responses=refused, operation_id="beginSecurityKey")
    add(f"{_PATH}/confirm", confirm, methods=["POST"], responses=refused, operation_id="confirmSecurityKey")
    one = f"{_PATH}/{{security_key_id}}"
    add(one, rename, methods=["PUT"], responses=refusals(409), operation_id="renameSecurityKey")
    add(f"{one}/remove", remove, methods=["POST"], responses=refusals(409), operation_id="removeSecurityKey")
    return routes


async def list_keys(caller: CallerSettingUp, services: ServicesOf) -> list[SecurityKey]:
    """List one's security keys, the oldest first."""
    require_person(caller)
    return [SecurityKey.of(key) for key in await security_keys_of(services).list(caller.principal)]


async def begin(request: Request, caller: CallerSettingUp, services: ServicesOf, body: PasswordIn) -> CreationOptions:
    """Get what the browser needs to register a key. Nothing changes before its answer is confirmed."""
    require_person(caller)
    own = own_request(request)
    options = await security_keys_of(services).begin(
        caller.principal,
        body.password,
        party_of(own, services.web.proxies),
        place=_place(caller),
        client=caller.source.address,
    )
    return CreationOptions.model_validate(options)


async def confirm(
    request: Request, caller: CallerSettingUp, services: ServicesOf, body: RegistrationIn
) -> SecurityKeyMade:
    """Register a key. With the first second factor what the password has opened ends, but this session; keys stay."""
    require_person(caller)
    registered = await security_keys_of(services).complete(
        caller.principal,
        body.name,
        Registration(
            client_data=body.client_data,
            attestation_object=body.attestation_object,
            transports=tuple(body.transports),
        ),
        party_of(own_request(request), services.web.proxies),
        place=_place(caller),
        by=caller.source,
    )
    await renew_session(request, caller, services)
    return SecurityKeyMade.made(registered)


async def rename(caller: CallerOf, services: ServicesOf, security_key_id: Id, body: NameIn) -> None:
    """Give one of one's keys another name."""
    require_person(caller)
    await security_keys_of(services).rename(caller.principal, security_key_id, body.name, caller.source)


async def remove(
    request: Request, caller: CallerOf, services: ServicesOf, security_key_id: Id, body: PasswordIn
) -> None:
    """Remove one of one's keys; with the last second factor the recovery codes and all other sessions go, too."""
    require_person(caller)
    await security_keys_of(services).remove(caller.principal, security_key_id, body.password, caller.source)
    await renew_session(request, caller, services)


def _place(caller: Caller) -> str:
    return _NO_SESSION if caller.session is None else caller.session.id
