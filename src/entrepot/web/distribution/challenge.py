"""`WWW-Authenticate`: how a client is told to come back with a credential (RFC 6750, RFC 7617, Docker token spec)."""

from __future__ import annotations

from entrepot.oci.errors import Unauthorized
from entrepot.oci.scope import format_scopes
from entrepot.web.http import Header, Request
from entrepot.web.services import Services
from entrepot.web.settings import Challenge, ChallengeKind

_DEFAULT_REALM = "Registry Realm"


def challenge_headers(refused: Unauthorized, request: Request, services: Services) -> list[Header]:
    """Return the challenge for a refused request.

    Every parameter is quoted and all scopes go into one `scope` parameter: clients read both that way only.
    """
    challenge = services.settings.challenge
    if challenge.kind is ChallengeKind.BEARER:
        text = _bearer(challenge, refused, request, services)
    else:
        # A registry that asks nobody can still refuse; a 401 without a challenge is not allowed (RFC 9110 15.5.2).
        text = f"Basic {_parameter('realm', challenge.realm or _DEFAULT_REALM)}"
    return [(b"www-authenticate", text.encode("latin-1", "replace"))]


def _bearer(challenge: Challenge, refused: Unauthorized, request: Request, services: Services) -> str:
    parameters = [
        _parameter("realm", challenge.realm or _own_realm(challenge, request, services)),
        _parameter("service", challenge.service),
    ]
    if refused.scopes:
        parameters.append(_parameter("scope", format_scopes(refused.scopes)))
    if refused.error:
        parameters.append(_parameter("error", refused.error))
    return "Bearer " + ",".join(parameters)


def _own_realm(challenge: Challenge, request: Request, services: Services) -> str:
    # A realm must be absolute: clients have no base to resolve it against, whatever `http.relativeurls` says.
    origin = services.proxies.origin(request)
    if challenge.always_https:
        origin = "https://" + origin.partition("://")[2]
    return origin + services.settings.prefix.rstrip("/") + challenge.realm_path


def _parameter(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'
