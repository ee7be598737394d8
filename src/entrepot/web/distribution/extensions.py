"""`/v2/_oci/ext/discover`: which extensions this registry has (distribution specification, extensions/_oci.md)."""

from __future__ import annotations

from entrepot.web.distribution.authorise import identify
from entrepot.web.http import Request
from entrepot.web.responses import Response, json_response
from entrepot.web.services import Services

_EXTENSIONS = {
    "extensions": [
        {
            "name": "_oci",
            "url": "https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md",
            "description": "Lists the extensions of this registry.",
            "endpoints": ["_oci/ext/discover"],
        }
    ]
}


async def discover(request: Request, services: Services) -> Response:
    """List the extensions, to whoever may talk to the registry at all."""
    await services.authorizer.require_sign_in(await identify(request, services))
    return json_response(200, _EXTENSIONS)
