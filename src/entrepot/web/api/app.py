"""The application of the API, put together from one module for each noun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from entrepot import __version__
from entrepot.web.api import errors
from entrepot.web.api.artifacts import (
    artifact_parts,
    artifacts,
    blobs,
    icons,
    immutable_rules,
    labels,
    purges,
    repositories,
    tag_history,
    trash,
)
from entrepot.web.api.edge import ApiEdge
from entrepot.web.api.jobs import job_schedules, jobs, jobservice, system_jobs
from entrepot.web.api.locations import BASE
from entrepot.web.api.openapi import Told, documented
from entrepot.web.api.people import (
    api_keys,
    explanations,
    grants,
    ldap,
    members,
    oidc,
    permissions,
    robots,
    roles,
    second_factor,
    security_keys,
    sessions,
    user_passwords,
    usergroups,
    users,
)
from entrepot.web.api.projects import metadatas, projects
from entrepot.web.api.registry_wide import (
    audit_logs,
    configurations,
    health,
    nodes,
    ping,
    search,
    statistics,
    systeminfo,
)
from entrepot.web.api.retention import executions, retentions
from entrepot.web.api.route_table import RouteTable
from entrepot.web.api.services import ApiServices
from entrepot.web.api.usage import history, quotas, usage

_TITLE: Final = "Entrepot API"
_DESCRIPTION: Final = (
    "Manages projects, their members and contents, people, robots and roles, in the shapes of Harbor's API version "
    "2.0. Sign in with Basic credentials, a key or a token."
)

#: Each noun's routes, below `/api/v2.0`.
NOUNS: Final[tuple[Callable[[], APIRouter], ...]] = (
    ping.router,
    health.router,
    nodes.router,
    projects.router,
    members.router,
    metadatas.router,
    repositories.router,
    artifacts.router,
    artifact_parts.router,
    labels.router,
    icons.router,
    quotas.router,
    search.router,
    statistics.router,
    job_schedules.router,
    jobs.router,
    system_jobs.router,
    jobservice.router,
    systeminfo.router,
    permissions.router,
    explanations.router,
    users.router,
    user_passwords.router,
    api_keys.router,
    usergroups.router,
    robots.router,
    roles.router,
    grants.router,
    configurations.router,
    audit_logs.router,
    ldap.router,
    blobs.router,
    oidc.router,
    sessions.router,
    second_factor.router,
    security_keys.router,
    trash.router,
    purges.router,
    tag_history.router,
    immutable_rules.router,
    usage.router,
    history.router,
    retentions.router,
    executions.router,
)

#: What browsers are sent to, below `/c`.
PAGES: Final[tuple[Callable[[], APIRouter], ...]] = ()


def build_api(services: ApiServices) -> FastAPI:
    """Build the application. It takes a second, so call it in a thread."""
    app = FastAPI(
        title=_TITLE,
        version=__version__,
        openapi_url=None,  # ours, below, does not hold up the others
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routers = [noun() for noun in NOUNS]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.state.services = services
    app.state.table = RouteTable(routes)
    for router in routers:
        app.include_router(router, prefix=BASE)
    for page in PAGES:
        app.include_router(page(), prefix="/c")
    errors.install(app)
    app.add_middleware(ApiEdge)
    app.add_route(f"{BASE}/openapi.json", Told(app).answer, include_in_schema=False)
    app.openapi = documented(  # type: ignore[method-assign] # the way that FastAPI documents
        app, routes, title=_TITLE, description=_DESCRIPTION, prefix=services.web.settings.prefix.rstrip("/")
    )
    return app
