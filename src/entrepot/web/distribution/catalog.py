"""`/v2/_catalog`: the repositories that the caller may read (a Docker registry endpoint, not part of OCI)."""

from __future__ import annotations

from entrepot.web.distribution.authorise import authorise_catalog
from entrepot.web.distribution.pagination import continue_after, next_link, page_size
from entrepot.web.http import Request
from entrepot.web.responses import NO_STORE, Response, json_response
from entrepot.web.services import Services

_DEFAULT_SIZE = 100


async def list_repositories(request: Request, services: Services) -> Response:
    """List repositories; asking for more than `catalog.maxentries` is an error, as in registry:2 and 3."""
    principal = await authorise_catalog(request, services)
    size = page_size(request, default=_DEFAULT_SIZE, most=services.settings.catalog_max_entries, clamp=False)
    last = continue_after(request)
    visible = await services.authorizer.readable(principal)
    page = await services.registry.catalog.list(limit=size, last=last, visible=visible)
    headers = [NO_STORE]
    if page.last is not None:
        headers.append(next_link(services, "/v2/_catalog", last=page.last, n=size))
    return json_response(200, {"repositories": page.items}, headers)
