"""A name for each request, in the log and in the answer, so that a user's complaint finds its log entries."""

from __future__ import annotations

import itertools
import re
import secrets

from entrepot.telemetry import logs
from entrepot.web.http import Request
from entrepot.web.middleware import Endpoint
from entrepot.web.proxies import Proxies
from entrepot.web.responses import Send

HEADER = b"x-request-id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIds:
    """Names requests, each otherwise."""

    def __init__(self) -> None:
        """Begin to count."""
        # Unique without asking the system for random bytes on every request: a random part per process, and a count.
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """Return a name that no other request has."""
        return f"{self._process}-{next(self._numbers):x}"


def with_request_id(inner: Endpoint, ids: RequestIds, proxies: Proxies) -> Endpoint:
    """Name each request in its answer; a name that a trusted proxy has given it in `X-Request-Id` is kept."""

    async def named(request: Request, send: Send) -> None:
        given = request.header(HEADER) if proxies.sent(request) else None
        request.id = given if given and _GIVEN.fullmatch(given) else ids.new()
        request.add_header(HEADER, request.id.encode())
        logs.request_id.set(request.id)  # no reset: each request is a task, whose context ends with it
        await inner(request, send)

    return named
