"""Opening and closing what an application needs, inside the event loop of the worker that runs it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from entrepot.web.body import Receive
from entrepot.web.http import Scope
from entrepot.web.responses import Send

ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOGGER = logging.getLogger(__name__)


class LifespanApplication:
    """An ASGI application that exists between the server's start-up and shutdown messages.

    `opening` opens databases and stores and gives the application; leaving it closes them again. An error while
    opening is told to the server as `startup.failed`: raised, it would be lost, and the worker would serve errors.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[ASGIApplication]]) -> None:
        self._opening = opening
        self._application: ASGIApplication | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._application is None:
            raise RuntimeError("a request arrived before start-up was complete")
        await self._application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        started = False
        try:
            async with self._opening() as self._application:
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
        except Exception as error:
            _LOGGER.exception("the worker could not %s", "shut down cleanly" if started else "start")
            await send({"type": f"lifespan.{'shutdown' if started else 'startup'}.failed", "message": str(error)})
            return
        finally:
            self._application = None
        await send({"type": "lifespan.shutdown.complete"})
