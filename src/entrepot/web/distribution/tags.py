"""`/v2/<name>/tags/list` (end-8a, end-8b)."""

from __future__ import annotations

from entrepot.web.distribution.authorise import authorise
from entrepot.web.distribution.pagination import continue_after, next_link, page_size
from entrepot.web.http import Request
from entrepot.web.responses import NO_STORE, Response, json_response
from entrepot.web.services import Services


async def list_tags(request: Request, services: Services) -> Response:
    """Answer end-8: tags in bytewise order. Like registry:3, more than `tags.maxtags` are paged without being asked."""
    name, _ = await authorise(request, services)
    most = services.settings.tags_max
    size = page_size(request, default=most, most=most, clamp=True)
    last = continue_after(request)
    page = await services.registry.tags.list(name, limit=size, last=last)
    headers = [NO_STORE]
    if page.last is not None:
        headers.append(next_link(services, f"/v2/{name}/tags/list", last=page.last, n=size))
    return json_response(200, {"name": name, "tags": page.items}, headers)
