"""`/healthz` (the process runs) and `/readyz` (it can serve)."""

from __future__ import annotations

from entrepot.web.http import Request
from entrepot.web.responses import Response, json_response
from entrepot.web.services import Services

_NO_CACHE = (b"cache-control", b"no-store")


async def alive(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    """Answer as long as the process answers at all."""
    return json_response(200, {}, (_NO_CACHE,))


async def ready(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    """Answer 200 when nothing keeps the registry from serving, else 503 with what does, in words fit for everybody.

    A 200 has what people should know all the same.
    """
    problems = dict(await services.readiness())
    return json_response(503 if problems else 200, problems or dict(await services.warnings()), (_NO_CACHE,))
