"""`/health`: how the parts of the registry are."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from entrepot.metadata import schema
from entrepot.metadata.errors import DatabaseError
from entrepot.web.api.caller import ServicesOf

_HEALTHY = "healthy"
_UNHEALTHY = "unhealthy"
_STORAGE = "storage"
#: Harbor's parts that are here, each of which can be asked for by its name, and where bytes are kept.
_PARTS = ("core", "database", "jobservice", "registry", _STORAGE)
#: Checks that are about one of these; every other one is shown by its own name.
_CHECKS = {"storagedriver_filesystem": _STORAGE}


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
    """Say how the parts of the registry are, and what keeps it from serving."""
    problems = dict(await services.web.readiness())
    if (problem := await _of_database(services)) is not None:
        problems["database"] = problem
    failing = {_CHECKS.get(name, name): text for name, text in problems.items()}
    components = [
        Component(name=name, status=_UNHEALTHY if name in failing else _HEALTHY, error=failing.get(name))
        for name in sorted({*_PARTS, *failing})
    ]
    return Health(status=_UNHEALTHY if failing else _HEALTHY, components=components)


async def _of_database(services: ServicesOf) -> str | None:
    """Ask the database something small."""
    try:
        await schema.find(services.metadata)
    except DatabaseError:
        return "the database does not answer"
    return None
