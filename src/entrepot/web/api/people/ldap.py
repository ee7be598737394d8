"""`/ldap`: trying the directory, looking into it, and taking people in before they sign in."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.faults import Forbidden, PreconditionFailed
from entrepot.access.permissions import Permission
from entrepot.accounts.directory.administration import MOST_TAKEN, DirectoryDesk
from entrepot.accounts.directory.model import DirectoryError
from entrepot.accounts.grant_checks import may_everything
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.people.group_types import LDAP
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_TEST = Permission("configuration:update")
_LIST = Permission("ldap-user:list")
_CREATE = Permission("ldap-user:create")
Text = Annotated[str, Field(max_length=1024)]
#: Harbor's other name for a setting, in this request alone.
_TIMEOUT = "ldap_connection_timeout"


_GROUP: Final[dict[str, Any]] = {
    "id": 9,
    "group_name": "developers",
    "group_type": LDAP,
    "ldap_group_dn": "cn=developers,ou=groups,dc=example,dc=org",
}


class LdapConf(BaseModel):
    """Settings to try; what is not given is as it is set."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"ldap_url": "ldaps://ldap.example.org", "ldap_base_dn": "ou=people,dc=example,dc=org"}
        }
    )

    ldap_url: Text | None = None
    ldap_search_dn: Text | None = None
    ldap_search_password: Text | None = Field(default=None, repr=False)
    ldap_base_dn: Text | None = None
    ldap_filter: Text | None = None
    ldap_uid: Text | None = None
    ldap_scope: Annotated[int, Field(ge=0, le=2, strict=True)] | None = None
    ldap_connection_timeout: Annotated[int, Field(ge=1, le=60, strict=True)] | None = None
    ldap_verify_cert: StrictBool | None = None

    def values(self) -> dict[str, object]:
        """Return what is given, by the names of the settings."""
        given: dict[str, object] = self.model_dump(exclude_none=True)
        if _TIMEOUT in given:
            given["ldap_timeout"] = given.pop(_TIMEOUT)
        return given


class PingResult(BaseModel):
    """What a test came to."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"success": True, "message": "ldaps://ldap.example.org: 12 people, 3 groups"}}
    )

    success: bool
    message: str


class LdapUser(BaseModel):
    """Somebody whom the directory knows."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"username": "alice", "realname": "Alice", "email": "alice@example.org"}}
    )

    username: str
    realname: str
    email: str


class LdapGroup(BaseModel):
    """A group of the directory; `id` is 0 for one that is not known here yet."""

    model_config = ConfigDict(json_schema_extra={"example": _GROUP})

    id: int
    group_name: str
    group_type: int
    ldap_group_dn: str


class ImportList(BaseModel):
    """The people to take in."""

    model_config = ConfigDict(json_schema_extra={"example": {"ldap_uid_list": ["alice", "bob"]}})

    ldap_uid_list: Annotated[list[Annotated[str, Field(max_length=255)]], Field(min_length=1, max_length=MOST_TAKEN)]


class NotImported(BaseModel):
    """Somebody who was not taken in, and why."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"uid": "mallory", "error": "the directory knows nobody of that name"}}
    )

    uid: str
    error: str


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["ldap"])
    add = routes.add_api_route
    add("/ldap/ping", ping, methods=["POST"], responses=refusals(412), operation_id="pingLdap")
    add("/ldap/users/search", search_users, methods=["GET"], responses=refusals(412), operation_id="searchLdapUser")
    failures = refusals(412) | {404: {"model": list[NotImported], "description": "Some were not."}}
    add("/ldap/users/import", import_users, methods=["POST"], operation_id="importLdapUser", responses=failures)
    add("/ldap/groups/search", search_groups, methods=["GET"], responses=refusals(412), operation_id="searchLdapGroup")
    return routes


async def ping(caller: CallerOf, services: ServicesOf, body: Annotated[LdapConf | None, Body()] = None) -> PingResult:
    """Connect to the directory and search as the settings say; changes nothing.

    Other settings than the present ones are for who may do everything to try: they say where to connect to.
    """
    await caller.require(_TEST)
    values = body.values() if body else {}
    if values and not await may_everything(caller.authorizer, caller.principal):
        raise Forbidden("only who may do everything tries other settings than the present ones; leave them out")
    try:
        answer = await _desk(services).test(values)
    except DirectoryError as error:
        return PingResult(success=False, message=str(error))
    found = f"{answer.server}: {answer.people} people, {answer.groups} groups"
    return PingResult(success=not answer.warnings, message="; ".join([found, *answer.warnings]))


async def search_users(
    caller: CallerOf,
    services: ServicesOf,
    username: Annotated[str, Query(max_length=255, description="How a name begins.", examples=["ali"])] = "",
) -> list[LdapUser]:
    """Return people of whom a name begins with `username`; 100 at most."""
    await caller.require(_LIST)
    found = await _desk(services).search_people(username)
    return [LdapUser(username=person.name, realname=person.realname, email=person.email) for person in found]


async def import_users(body: ImportList, caller: CallerOf, services: ServicesOf) -> JSONResponse:
    """Make accounts for people who have not signed in yet; 404 with the list of those who could not be taken in."""
    await caller.require(_CREATE)
    failures = await _desk(services).take_in(body.ldap_uid_list, by=caller.source)
    if not failures:
        return JSONResponse(None, 200)
    return JSONResponse([{"uid": failure.name, "error": failure.reason} for failure in failures], 404)


async def search_groups(
    caller: CallerOf,
    services: ServicesOf,
    groupname: Annotated[str, Query(max_length=255, description="How a name begins.", examples=["dev"])] = "",
    groupdn: Annotated[
        str,
        Query(
            max_length=1024,
            description="The whole name of one group.",
            examples=["cn=developers,ou=groups,dc=example,dc=org"],
        ),
    ] = "",
) -> list[LdapGroup]:
    """Return the group of a DN, or groups whose name begins with `groupname`; 100 at most."""
    await caller.require(_LIST)
    found = await _desk(services).search_groups(groupname, groupdn)
    return [
        LdapGroup(id=one.id or 0, group_name=one.group.name, group_type=LDAP, ldap_group_dn=one.group.subject)
        for one in found
    ]


def _desk(services: ApiServices) -> DirectoryDesk:
    if services.directory is None:
        raise PreconditionFailed("this registry keeps no accounts, so it asks no directory")
    return services.directory
