"""`/system/oidc/ping`: trying a sign-in provider before it is set."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid
from entrepot.access.permissions import Permission
from entrepot.accounts.providers.model import ProviderUnavailable
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.refusals import refusals

_TEST = Permission("configuration:update")


class OidcEndpoint(BaseModel):
    """The provider to try; `ca` is PEM text of authorities to believe beside the usual ones."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"url": "https://login.example.org/realms/main", "verify_cert": True}}
    )

    url: Annotated[str, Field(max_length=1024)]
    verify_cert: bool = True
    ca: Annotated[str, Field(max_length=256 * 1024)] = ""


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["oidc"])
    routes.add_api_route("/system/oidc/ping", ping, methods=["POST"], responses=refusals(400), operation_id="pingOidc")
    return routes


async def ping(body: OidcEndpoint, caller: CallerOf, services: ServicesOf) -> None:
    """Ask a provider for its discovery document; changes nothing.

    Its certificate is always verified, as when people sign in: by the authorities of `ca`, of the configured provider
    with this issuer, and of `outbound.cabundle`.
    """
    await caller.require(_TEST)
    if not body.verify_cert:
        raise Invalid(
            "a provider's certificate is always verified here; leave verify_cert out and give the authority that "
            "signed it as ca, and in access.oidc[].ca or outbound.cabundle"
        )
    try:
        await services.try_issuer(body.url, body.ca)
    except ProviderUnavailable as error:
        raise Invalid(str(error)) from None
