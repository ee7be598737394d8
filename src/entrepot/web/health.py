"""`/healthz` (the process runs) and `/readyz` (it can serve)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from entrepot.metadata.errors import DatabaseError
from entrepot.web.http import Request
from entrepot.web.responses import Response, json_response
from entrepot.web.services import Readiness, Services

#: So long may the database take to say something: who asks gets an answer within four seconds.
PATIENCE_SECONDS: Final = 3.0
_NO_CACHE = (b"cache-control", b"no-store")
_NO_DATABASE = {"database": "the database does not answer"}


async def alive(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    """Answer as long as the process answers at all."""
    return json_response(200, {}, (_NO_CACHE,))


async def ready(request: Request, services: Services) -> Response:  # noqa: ARG001 - a handler's signature
    """Answer 200 when nothing keeps the registry from serving, else 503 with what does, in words fit for everybody.

    A 200 has what people should know all the same. Without a database nothing can be served.
    """
    problems = await services.readiness()
    warnings = None if problems else await _asked(services.warnings)
    if warnings is None:
        return json_response(503, dict(problems or _NO_DATABASE), (_NO_CACHE,))
    return json_response(200, dict(warnings), (_NO_CACHE,))


class Together:
    """Asks once for all who ask meanwhile: anybody may, as often as they like, and others need the database."""

    def __init__(self, question: Readiness) -> None:
        """Ask nothing yet."""
        self._question = question
        self._asking: asyncio.Future[Mapping[str, str]] | None = None

    async def __call__(self) -> Mapping[str, str]:
        """Return the answer to the question that is out, or to a new one."""
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = asyncio.ensure_future(self._question())
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:  # who asks next does not wait for one that takes too long
            if self._asking is asking:
                self._asking = None
            raise


async def _asked(question: Readiness) -> Mapping[str, str] | None:
    """Ask the database; None when it does not answer."""
    asking = asyncio.ensure_future(question())
    asking.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
    if not asking.done():
        asking.cancel()  # and not awaited: a connection to a server that stands still does not even end
        return None
    try:
        return asking.result()
    except DatabaseError:
        return None
