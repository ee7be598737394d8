"""`/health`: how the parts of the registry are."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from entrepot.web.api.caller import ServicesOf

_HEALTHY = "healthy"
_UNHEALTHY = "unhealthy"


class Component(BaseModel):
    """One part."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "core", "status": "healthy"}})

    name: str
    status: str
    error: str | None = None


class Health(BaseModel):
    """All of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"status": "healthy", "components": [{"name": "core", "status": "healthy"}]},
        }
    )

    status: str
    components: list[Component]


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["health"])
    routes.add_api_route(
        "/health",
        get_health,
        methods=["GET"],
        response_model_exclude_none=True,
        summary="Say how the parts of the registry are",
        operation_id="getHealth",
    )
    return routes


async def get_health(services: ServicesOf) -> Health:
    """Say how the parts of the registry are: the program itself, and what keeps it from serving."""
    problems = await services.web.readiness()
    failing = [Component(name=name, status=_UNHEALTHY, error=text) for name, text in problems.items()]
    components = [Component(name="core", status=_HEALTHY), *failing]
    return Health(status=_UNHEALTHY if failing else _HEALTHY, components=components)
