"""`/users/current/second_factor`: one-time codes beside the password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Forbidden, NotFound
from entrepot.access.permissions import Permission
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.metadata.people import users
from entrepot.web.api.caller import Caller, CallerOf, CallerSettingUp, ServicesOf, own_request
from entrepot.web.api.people.own_account import factors_of, renew_session, require_person, security_keys_of
from entrepot.web.api.refusals import refusals

_UPDATE = Permission.of("user", "update")
_PATH = "/users/current/second_factor"

Id = Annotated[int, Path(ge=1, lt=2**63, description="The person's number.", examples=[3])]


class StatusOut(BaseModel):
    """What is set up."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"enabled": True, "one_time_codes": True, "security_keys": 0, "recovery_codes_left": 9}
        }
    )

    enabled: bool
    one_time_codes: bool
    security_keys: int
    recovery_codes_left: int


class EnrolmentOut(BaseModel):
    """What an authenticator app needs: the address, as a QR code, or the secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
                "uri": "otpauth://totp/registry.example.com:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
            }
        }
    )

    secret: str
    uri: str


class CodeIn(BaseModel):
    """A code of the app, or a recovery code."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"code": "123456"}})

    code: Annotated[str, Field(min_length=1, max_length=64)]


class ConfirmIn(CodeIn):
    """The first code of the app; whoever has a security key says the password, too."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"code": "123456", "password": "seven boats at anchor"}}
    )

    password: Annotated[str | None, Field(max_length=1024)] = None


class RecoveryOut(BaseModel):
    """Codes for the day when the app is lost: each signs in once. They are shown this one time."""

    model_config = ConfigDict(json_schema_extra={"example": {"recovery_codes": ["abcd-efgh-jkmn-pqrs"]}})

    recovery_codes: list[str]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["second factor"])
    add = routes.add_api_route
    add(_PATH, get_status, methods=["GET"], responses=refusals(404), operation_id="getSecondFactor")
    add(_PATH, begin, methods=["POST"], status_code=201, responses=refusals(404, 409), operation_id="beginSecondFactor")
    add(f"{_PATH}/confirm", confirm, methods=["POST"], responses=refusals(404, 409), operation_id="confirmSecondFactor")
    add(f"{_PATH}/disable", disable, methods=["POST"], responses=refusals(404, 409), operation_id="disableSecondFactor")
    add(
        f"{_PATH}/recovery_codes",
        renew_codes,
        methods=["POST"],
        responses=refusals(404, 409),
        operation_id="renewRecoveryCodes",
    )
    add("/users/{user_id}/second_factor", reset, methods=["DELETE"], operation_id="resetSecondFactor")
    return routes


async def get_status(caller: CallerSettingUp, services: ServicesOf) -> StatusOut:
    """Say whether there is a second factor, of which kind, and how many recovery codes are left."""
    account = _account(caller)
    status = await factors_of(services).status(account)
    return StatusOut(
        enabled=status.enabled,
        one_time_codes=status.one_time_codes,
        security_keys=status.security_keys,
        recovery_codes_left=status.recovery_codes,
    )


async def begin(request: Request, caller: CallerSettingUp, services: ServicesOf) -> EnrolmentOut:
    """Get what the app needs. Nothing changes before the first code is confirmed."""
    _account(caller)
    issuer = services.web.proxies.origin(own_request(request)).partition("://")[2] or "entrepot"
    enrolment = await factors_of(services).enrol(caller.principal, issuer.replace(":", " "))
    return EnrolmentOut(secret=enrolment.secret, uri=enrolment.uri)


async def confirm(request: Request, caller: CallerSettingUp, services: ServicesOf, code: ConfirmIn) -> RecoveryOut:
    """Turn it on with a code of the app. Ends all that the password has opened, but this session; keys stay."""
    _account(caller)
    await security_keys_of(services).require_password_beside(caller.principal, code.password, caller.source.address)
    codes = await factors_of(services).confirm(caller.principal, code.code, caller.source)
    await renew_session(request, caller, services)
    return RecoveryOut(recovery_codes=codes)


async def disable(request: Request, caller: CallerOf, services: ServicesOf, code: CodeIn) -> None:
    """Turn one-time codes off with one more code; security keys stay."""
    _account(caller)
    await factors_of(services).disable(caller.principal, code.code, caller.source)
    await renew_session(request, caller, services)


async def renew_codes(caller: CallerOf, services: ServicesOf, code: CodeIn) -> RecoveryOut:
    """Get new recovery codes in place of the old ones."""
    _account(caller)
    codes = await factors_of(services).new_codes(caller.principal, code.code, caller.source)
    return RecoveryOut(recovery_codes=codes)


async def reset(caller: CallerOf, services: ServicesOf, user_id: Id) -> None:
    """Turn it off for somebody who has lost app, keys and recovery codes; administrators only."""
    await caller.require(_UPDATE)
    person = await users.find_by_id(services.metadata, user_id)
    if person is None:
        raise NotFound(f"there is no user with the id {user_id}")
    if user_id == caller.principal.id:
        raise Forbidden(
            "remove your own second factor yourself, with a code or the password: see /users/current/second_factor"
        )
    await require_to_outrank(services.metadata, services.web.authorizer, caller.principal, user_id)
    await factors_of(services).reset(person.name, caller.source)


def _account(caller: Caller) -> int:
    """Return the caller's account; raises what `require_person` does, and NotFound without an account here."""
    require_person(caller)
    if caller.principal.id is None:
        raise NotFound("you have no account here")
    return caller.principal.id
