"""One line of the access log for each request, when its exchange is over."""

from __future__ import annotations

import time
from http import HTTPStatus

from entrepot.access.passwords.throttle import PROXIED
from entrepot.telemetry.access_format import Exchange, RequestRecord
from entrepot.telemetry.access_log import AccessLog
from entrepot.web.http import Request, client_host
from entrepot.web.middleware import Endpoint
from entrepot.web.responses import Send

_CHECKS = frozenset({"healthz", "readyz"})
_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2.0"}


def with_access_log(inner: Endpoint, log: AccessLog) -> Endpoint:
    """Write each request to the log, if there is one; but not that a balancer found the registry well, every second."""
    if not log.enabled:
        return inner

    async def logged(request: Request, send: Send) -> None:
        started = time.perf_counter()
        try:
            await inner(request, send)
        finally:
            if request.route not in _CHECKS or request.status != HTTPStatus.OK:
                seconds = time.perf_counter() - started
                log.write(RequestRecord(time.time(), seconds, request.id, exchange_of(request)))

    return logged


def exchange_of(request: Request) -> Exchange:
    """Say of an answered request what the log says of it."""
    query = request.scope["query_string"]
    target = request.raw_path + b"?" + query if query else request.raw_path
    return Exchange(
        client=client_host(request.scope) if request.client == PROXIED else request.client,
        user=request.user,
        method=request.method,
        target=str(target, "latin-1"),
        protocol=_PROTOCOLS.get(request.scope.get("http_version", "1.1"), "HTTP/1.1"),
        status=request.status,
        bytes_out=request.bytes_out,
        bytes_in=request.bytes_in,
        referer=(request.header(b"referer") or "").partition("?")[0],  # a query there may hold a token of a page
        user_agent=request.header(b"user-agent") or "",
        route=request.route,
        host=request.header(b"host") or "",
    )
