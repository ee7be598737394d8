"""`WWW-Authenticate`: how a client is told to come back with a credential."""

from __future__ import annotations

from entrepot.oci.errors import Unauthorized
from entrepot.web.http import Header, Request
from entrepot.web.services import Services


def challenge_headers(refused: Unauthorized, request: Request, services: Services) -> list[Header]:
    """Return the challenge for a refused request.

    The address of a token service of ours is absolute also where `http.relativeurls` is set: clients have nothing to
    resolve it against.
    """
    own_address = services.proxies.origin(request) + services.settings.prefix.rstrip("/")
    return [(b"www-authenticate", services.challenge.render(refused, own_address).encode("latin-1", "replace"))]
