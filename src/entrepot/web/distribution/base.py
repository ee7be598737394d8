"""`/v2/`: is this a registry, and does it know the caller (end-1)?"""

from __future__ import annotations

from entrepot.web.distribution.authorise import identify
from entrepot.web.http import Request
from entrepot.web.responses import DATA_POLICY, JSON_HEADER, BytesResponse, Response
from entrepot.web.services import Services


async def get_base(request: Request, services: Services) -> Response:
    """Answer end-1. `docker login` reads the challenge from here, so anonymous callers get it wherever one exists."""
    principal = await identify(request, services)
    await services.authorizer.require_sign_in(principal)
    return BytesResponse(200, (JSON_HEADER, DATA_POLICY), b"{}")
