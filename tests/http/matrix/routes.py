"""Every route that the registry answers at, found in the application itself: one that is new cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from entrepot.web.application import Application
from entrepot.web.router import RepositoryRoutes

#: How the routes below a repository's name are written.
_OF_REPOSITORY = {
    "manifests": "/v2/{name}/manifests/{reference}",
    "blobs": "/v2/{name}/blobs/{digest}",
    "uploads": "/v2/{name}/blobs/uploads/",
    "upload": "/v2/{name}/blobs/uploads/{session}",
    "tags": "/v2/{name}/tags/list",
    "referrers": "/v2/{name}/referrers/{digest}",
}


async def routes_of(application: Application) -> list[tuple[str, str]]:
    """List method and path of every route."""
    router = application._router
    found = [(method, path) for path, route in router._fixed.items() for method in route.handlers]
    for field in fields(RepositoryRoutes):
        path = _OF_REPOSITORY[field.name]
        found += [(method, path) for method in getattr(router._repository, field.name).handlers]
    api = await api_of(application)
    return sorted({*found, *_below(api.routes)}, key=lambda route: (route[1], route[0]))


async def api_of(application: Application) -> FastAPI:
    """Return the management API."""
    assert application._api is not None
    api: Any = await application._api._built()
    assert isinstance(api, FastAPI)
    return api


def _below(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        included: Any = getattr(route, "original_router", None)
        if included is not None:
            yield from _below(included.routes, prefix + route.include_context.prefix)  # type: ignore[attr-defined]
        else:
            assert isinstance(route, Route), f"{route!r}: tell the matrix what it answers"
            yield from ((method, prefix + route.path) for method in route.methods or ())
