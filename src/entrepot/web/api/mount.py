"""Where the management API hangs in the application: built at its first request, in a thread.

A registry that is only pushed to and pulled from never pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from entrepot.web.api.paths import inner_path
from entrepot.web.body import ClientGone, Message, Receive
from entrepot.web.http import Request, Scope
from entrepot.web.responses import DATA_POLICY, NO_BODY_STATUSES, Send

#: An application that speaks ASGI.
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The key under which a scope holds our own view of the request.
REQUEST: Final = "entrepot.request"
#: The route in logs and metrics until FastAPI has found its own.
LABEL: Final = "api"
_NO_STORE: Final = (b"cache-control", b"no-store")


class LazyApi:
    """Answers the requests below some prefixes with an application that is built when the first one comes."""

    def __init__(self, build: Callable[[], AsgiApp], *, prefix: str = "") -> None:
        """Keep how to build it; `prefix` is what stands before all of our paths (`http.prefix`)."""
        self._build = build
        self._prefix = prefix.rstrip("/")
        self._heads = tuple(f"{self._prefix}{head}".encode() for head in ("/api/", "/c/"))
        self._app: AsgiApp | None = None
        self._building = asyncio.Lock()

    def takes(self, request: Request) -> bool:
        """Tell whether a request is for the API."""
        return request.raw_path.startswith(self._heads)

    async def __call__(self, request: Request, send: Send) -> None:
        """Answer a request.

        Raises:
            ClientGone: The client left before there was an answer.
            NameInvalid: The path is encoded in a way that two programs could read differently.
        """
        request.route = LABEL
        path = inner_path(request.raw_path[len(self._prefix) :])
        scope = {**request.scope, "path": path, "raw_path": path.encode(), "root_path": "", REQUEST: request}
        answer = _Answer(request, send)
        await (await self._built())(scope, request.receive, answer.send)
        pattern = getattr(scope.get("route"), "path_format", None)
        request.route = f"{LABEL} {pattern}" if pattern else LABEL
        if not request.started:
            raise ClientGone

    async def _built(self) -> AsgiApp:
        if self._app is not None:
            return self._app
        async with self._building:
            if self._app is None:
                self._app = await asyncio.to_thread(self._build)
            return self._app


class _Answer:
    """Passes an answer on to the server, with the headers that every answer of ours has."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._head(message)
        elif message["type"] == "http.response.body":
            message = self._body(message)
        await self._send(message)

    def _head(self, message: Message) -> Message:
        request = self._request
        request.started = True
        request.status = message["status"]
        ours = list(request.extra_headers)
        named = {name for name, _ in message["headers"]}
        if b"cache-control" not in named:
            ours.append(_NO_STORE)
        if b"content-security-policy" not in named:
            ours.append(DATA_POLICY)
        theirs = [(n, v) for n, v in message["headers"] if n != b"content-length" or not self._is_bare()]
        return {**message, "headers": [*theirs, *ours]}

    def _body(self, message: Message) -> Message:
        if self._request.method == "HEAD" or self._is_bare():
            return {**message, "body": b""}
        self._request.bytes_out += len(message.get("body", b""))
        return message

    def _is_bare(self) -> bool:
        return self._request.status in NO_BODY_STATUSES
