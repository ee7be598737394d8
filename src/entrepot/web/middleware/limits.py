"""Limits of single requests, and of how many are served at once.

The server has limits of its own, but answers bare; these are lower, and say what is wrong in OCI form.
"""

from __future__ import annotations

from entrepot.oci.errors import HeaderTooLarge, HostInvalid, Unavailable, UriTooLong
from entrepot.web.http import Request, body_framing
from entrepot.web.middleware import Endpoint
from entrepot.web.responses import Send
from entrepot.web.settings import RequestLimits

#: Whoever watches the process must get an answer when it is busy, too.
_ALWAYS_SERVED = frozenset({b"/healthz", b"/readyz"})
_RETRY_SECONDS = 1
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def with_limits(inner: Endpoint, limits: RequestLimits) -> Endpoint:
    """Refuse requests that are too large (414, 431), unclear about body or host (400) or too many (503)."""
    running = 0

    async def limited(request: Request, send: Send) -> None:
        nonlocal running
        check_request(request, limits)
        if running >= limits.concurrent and request.raw_path not in _ALWAYS_SERVED:
            raise Unavailable(_RETRY_SECONDS, f"All {limits.concurrent} places are taken; try again in a moment.")
        running += 1
        try:
            await inner(request, send)
        finally:
            running -= 1

    return limited


def check_request(request: Request, limits: RequestLimits) -> None:
    """Raise when a request is larger than anything a client needs, or could be two requests to somebody else.

    Raises:
        UriTooLong: Path and query are too long.
        HeaderTooLarge: There are too many headers, or too many bytes of them.
        HostInvalid: There is no Host, or an empty one, or several (RFC 9112, section 3.2); HTTP/1.0 may do without.
        SizeInvalid: The headers do not say plainly where the body ends.
    """
    length = len(request.raw_path) + len(request.scope["query_string"])
    if length > limits.uri_bytes:
        raise UriTooLong(f"Path and query have {length} bytes; at most {limits.uri_bytes} are accepted.")
    headers = request.scope["headers"]
    if len(headers) > limits.headers:
        raise HeaderTooLarge(f"There are {len(headers)} headers; at most {limits.headers} are accepted.")
    size = 0
    hosts = 0
    host_is_empty = True
    framed = False
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
            host_is_empty = not value  # the server writes an empty one where there is none
        framed = framed or name in _FRAMING
    if size > limits.header_bytes:
        raise HeaderTooLarge(f"The headers have {size} bytes; at most {limits.header_bytes} are accepted.")
    if hosts > 1:
        raise HostInvalid("The header Host must be given once: two programs may each believe another one.")
    if host_is_empty and request.scope.get("http_version", "1.1") == "1.1":
        raise HostInvalid("The header Host is missing; HTTP/1.1 asks for it.")
    if framed:
        body_framing(headers, request.scope.get("http_version", "1.1"))
