"""`/configurations` and `/internalconfig`: what the registry is set to while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.accounts.grant_checks import may_everything
from entrepot.system.keys import Value
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.examples import looks_like

_SCANS: Final = "scan_all_policy"
_READ = Permission("configuration:read")
_UPDATE = Permission("configuration:update")


class Item(BaseModel):
    """One setting."""

    model_config = ConfigDict(json_schema_extra={"example": {"value": "db_auth", "editable": True}})

    value: Value
    editable: bool


Changes = Annotated[
    dict[Annotated[str, Field(max_length=64)], Any],
    Field(max_length=100, examples=[{"self_registration": False, "session_timeout": 60}]),
]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["configure"])
    add = routes.add_api_route
    shown = looks_like({"self_registration": {"value": False, "editable": True}})
    add("/configurations", get_configurations, methods=["GET"], responses=shown, operation_id="getConfigurations")
    # Harbor's own parts read this one; secrets are shown to nobody here, so there is nothing more in it.
    add("/internalconfig", get_configurations, methods=["GET"], responses=shown, operation_id="getInternalconfig")
    add("/configurations", update_configurations, methods=["PUT"], operation_id="updateConfigurations")
    return routes


async def get_configurations(caller: CallerOf, services: ServicesOf) -> dict[str, Item]:
    """Return all settings but the secrets, each with whether it can be changed here."""
    await caller.require(_READ)
    shown = await services.configuration.shown()
    return {name: Item(value=item.value, editable=item.editable) for name, item in shown.items()}


async def update_configurations(body: Changes, caller: CallerOf, services: ServicesOf) -> None:
    """Change settings; those that are not named, or null, stay.

    What decides who people are (`auth_mode`, `ldap_*`, `oidc_*`) is for who may do everything. A secret is forgotten
    when the server or the account it is sent to changes: give it again with them.
    """
    await caller.require(_UPDATE)
    whole = await may_everything(caller.authorizer, caller.principal)
    await services.configuration.change(_said(body), by=caller.source, whole=whole)


def _said(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a request is about; Harbor's clients send an empty plan for scans with all others.

    Raises:
        Invalid: It asks for scans.
    """
    given = {name: value for name, value in body.items() if value is not None}
    plan = given.pop(_SCANS, None) or {}
    if not isinstance(plan, dict) or plan.get("type", "none") not in ("", "none"):
        raise Invalid(f"this registry does not scan yet; leave {_SCANS} out")
    return given
