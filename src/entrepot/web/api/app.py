"""The application of the API, put together from one module for each noun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from entrepot import __version__
from entrepot.web.api import (
    artifact_parts,
    artifacts,
    audit_logs,
    configurations,
    errors,
    explanations,
    grants,
    health,
    keys,
    labels,
    ldap,
    members,
    metadatas,
    permissions,
    ping,
    projects,
    repositories,
    robots,
    roles,
    search,
    second_factor,
    sessions,
    statistics,
    systeminfo,
    user_passwords,
    usergroups,
    users,
)
from entrepot.web.api.edge import ApiEdge
from entrepot.web.api.locations import BASE
from entrepot.web.api.services import ApiServices

_TITLE: Final = "Entrepot API"
_DESCRIPTION: Final = (
    "Manages projects, their members and contents, people, robots and roles, in the shapes of Harbor's API version "
    "2.0. Sign in with Basic credentials, a key or a token."
)

#: Each noun's routes, below `/api/v2.0`.
NOUNS: Final[tuple[Callable[[], APIRouter], ...]] = (
    ping.router,
    health.router,
    projects.router,
    members.router,
    metadatas.router,
    repositories.router,
    artifacts.router,
    artifact_parts.router,
    labels.router,
    search.router,
    statistics.router,
    systeminfo.router,
    permissions.router,
    explanations.router,
    users.router,
    user_passwords.router,
    keys.router,
    usergroups.router,
    robots.router,
    roles.router,
    grants.router,
    configurations.router,
    audit_logs.router,
    ldap.router,
    sessions.router,
    second_factor.router,
)

#: What browsers are sent to, below `/c`.
PAGES: Final[tuple[Callable[[], APIRouter], ...]] = ()


def build_api(services: ApiServices) -> FastAPI:
    """Build the application. It takes a second, so call it in a thread."""
    app = FastAPI(
        title=_TITLE,
        version=__version__,
        openapi_url=f"{BASE}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    for noun in NOUNS:
        app.include_router(noun(), prefix=BASE, responses=_REFUSALS)
    for page in PAGES:
        app.include_router(page(), prefix="/c")
    errors.install(app)
    app.add_middleware(ApiEdge)
    app.openapi = _documented(app)  # type: ignore[method-assign] # the way that FastAPI documents
    return app


def _error(description: str, code: str, message: str) -> dict[str, Any]:
    example = {"errors": [{"code": code, "message": message}]}
    return {"description": description, "model": errors.Errors, "content": {"application/json": {"example": example}}}


_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: _error("Nobody has signed in, or the credentials are wrong.", "UNAUTHORIZED", "sign in to do this"),
    403: _error("The caller may not do this.", "FORBIDDEN", "you may not do this: no grant allows project:delete"),
    422: _error("A parameter or the body is not of the form asked for.", "UNPROCESSABLE_ENTITY", "page in query: ..."),
}


def _documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=_TITLE, version=__version__, description=_DESCRIPTION, routes=app.routes)
            parts = schema.setdefault("components", {})
            parts["securitySchemes"] = {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
            schema["security"] = [{"basic": []}, {"bearer": []}, {}]
            app.openapi_schema = schema
        return app.openapi_schema

    return openapi
