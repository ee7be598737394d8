"""`/systeminfo`: what the registry tells about itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from entrepot import __version__
from entrepot.access.faults import NotFound
from entrepot.access.permissions import Permission
from entrepot.web.api.caller import CallerOf, ServicesOf, own_request
from entrepot.web.api.refusals import refusals

_PEM: Final = "application/x-pem-file"
_VOLUMES = Permission("system-volumes:read")


class GeneralInfo(BaseModel):
    """What everybody may know, and with more below what only who has signed in may."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "auth_mode": "db_auth",
                "primary_auth_mode": False,
                "self_registration": False,
                "banner_message": "",
                "harbor_version": "v2.14.0-entrepot-0.1.0",
            }
        }
    )

    banner_message: str
    auth_mode: str
    primary_auth_mode: bool
    self_registration: bool
    oidc_provider_name: str | None = None
    current_time: datetime | None = None
    registry_url: str | None = None
    external_url: str | None = None
    project_creation_restriction: str | None = None
    has_ca_root: bool | None = None
    harbor_version: str | None = None
    registry_storage_provider_name: str | None = None
    read_only: bool | None = None
    notification_enable: bool | None = None


class Volume(BaseModel):
    """Space on a disk, in bytes."""

    model_config = ConfigDict(json_schema_extra={"example": {"total": 500000000000, "free": 320000000000}})

    total: int
    free: int


class SystemInfo(BaseModel):
    """The disks that blobs lie on."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"storage": [{"total": 500000000000, "free": 320000000000}]}}
    )

    storage: list[Volume]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["systeminfo"])
    add = routes.add_api_route
    add(
        "/systeminfo",
        get_system_info,
        methods=["GET"],
        response_model_exclude_none=True,
        operation_id="getSystemInfo",
    )
    add("/systeminfo/volumes", get_volumes, methods=["GET"], operation_id="getVolumes")
    certificate: dict[int | str, dict[str, Any]] = {
        200: {"content": {_PEM: {"schema": {"type": "string"}, "example": "-----BEGIN CERTIFICATE-----\n..."}}}
    }
    add(
        "/systeminfo/getcert",
        get_certificate,
        methods=["GET"],
        response_class=Response,
        responses=certificate | refusals(404),
        operation_id="getCert",
    )
    return routes


async def get_system_info(request: Request, caller: CallerOf, services: ServicesOf) -> GeneralInfo:
    """Tell how to sign in; to whoever has, also version, address and state."""
    values = await services.configuration.values()
    info = GeneralInfo(
        banner_message=str(values["banner_message"]),
        auth_mode=str(values["auth_mode"]),
        primary_auth_mode=bool(values["primary_auth_mode"]),
        self_registration=bool(values["self_registration"]),
        oidc_provider_name=str(values["oidc_name"]) or None,
    )
    if caller.principal.is_anonymous:
        return info
    origin = services.web.proxies.origin(own_request(request))
    return info.model_copy(
        update={
            "current_time": datetime.now(UTC),
            "registry_url": origin.partition("://")[2],
            "external_url": origin,
            "project_creation_restriction": str(values["project_creation_restriction"]),
            "has_ca_root": False,
            "harbor_version": f"v2.14.0-entrepot-{__version__}",
            "registry_storage_provider_name": "filesystem",
            "read_only": bool(values["read_only"]),
            "notification_enable": bool(values["notification_enable"]),
        }
    )


async def get_certificate(_: CallerOf) -> Response:
    """Return the certificate of the authority that clients must trust: there is none, the registry is none itself."""
    raise NotFound("this registry makes no certificates of its own; ask whoever runs it which authority to trust")


async def get_volumes(caller: CallerOf, services: ServicesOf) -> SystemInfo:
    """Tell how much space there is for blobs."""
    await caller.require(_VOLUMES)
    volume = await services.volume()
    return SystemInfo(storage=[Volume(total=volume.total, free=volume.free)])
