"""Where a request of a browser comes from (Fetch Standard, "Origin" and "Sec-Fetch-Site" headers).

Browsers say it, and pages cannot change what they say. Programs say nothing; they have no cookies of other people, and
need the session's token all the same.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from entrepot.web.http import Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.errors import ForeignRequest
from entrepot.web.this_host import is_this_host

_OWN_SITES = frozenset({"same-origin", "none"})
_PORTS = {"http": 80, "https": 443}
_Origin = tuple[str, str, int]


def check_origin(request: Request, proxies: Proxies) -> None:
    """Go on unless a browser says that another site made it send this.

    Raises:
        ForeignRequest: It does.
    """
    site = request.header_values(b"sec-fetch-site")
    if any(value not in _OWN_SITES for value in site):
        raise ForeignRequest
    origins = request.header_values(b"origin") or _referring(request)
    own = _parts(proxies.origin(request))
    if any(own is None or _parts(origin) != own for origin in origins):
        raise ForeignRequest(
            "the request comes from a page of another address than this registry's; if it is the same, set http.host, "
            "or have the proxy send X-Forwarded-Proto and X-Forwarded-Host"
        )


def is_https(request: Request, proxies: Proxies) -> bool:
    """Tell whether the client reaches us by https, here or at a proxy in front."""
    return proxies.origin(request).startswith("https:")


def has_https_port(request: Request, proxies: Proxies) -> bool:
    """Tell whether the client reaches us by https at its usual port: who has that speaks for the whole host."""
    origin = proxies.origin(request)
    parts = _parts(origin) if origin.startswith("https:") else None
    return parts is not None and parts[2] == _PORTS["https"]


def is_own_host(request: Request, proxies: Proxies) -> bool:
    """Tell whether the browser runs on this host, by the name that it asked for: nobody else hears what it sends."""
    parts = _parts(proxies.origin(request))
    return parts is not None and is_this_host(parts[1])


def _referring(request: Request) -> list[str]:
    """Return the page that the request was made by, where a browser sends no Origin."""
    return request.header_values(b"referer")


def _parts(url: str) -> _Origin | None:
    """Return scheme, host and port; None for `null` and whatever else is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None
