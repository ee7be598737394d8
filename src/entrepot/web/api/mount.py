"""Where the management API hangs in the application: built in a thread, when the process is idle after its start.

It takes a second and some 25 MB. A registry whose API nobody has used for a month builds it at the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
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


#: Seconds of one look whether the process is idle, and the share of them for which it may have computed.
_LOOK: Final = 1.0
_IDLE: Final = 0.2
_DAY: Final = 24 * 3600.0


class ApiUse:
    """Remembers, by the time of a file, when somebody last used the API of a folder."""

    def __init__(self, path: Path | None, *, days: float = 30.0) -> None:
        """Name the file, which may not be there yet; without a folder it always counts as used."""
        self._path = path
        self._seconds = days * _DAY
        self._noted = 0.0

    def expected(self) -> bool:
        """Tell whether it will be used: lately it was, or the folder is new."""
        if self._path is None:
            return True
        try:
            return abs(time.time() - self._path.stat().st_mtime) < self._seconds
        except OSError:
            self._touch()
            return True

    def note(self) -> None:
        """Remember a request, once a day."""
        if not self._noted or time.monotonic() - self._noted > _DAY:
            self._noted = time.monotonic()
            self._touch()

    def _touch(self) -> None:
        if self._path is None:
            return
        # Where nothing can be written, it is built when it is asked for.
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.utime(self._path)


class LazyApi:
    """Answers the requests below some prefixes with an application that is built once it is needed."""

    def __init__(self, build: Callable[[], AsgiApp], *, prefix: str = "", use: ApiUse | None = None) -> None:
        """Keep how to build it; `prefix` is what stands before all of our paths (`http.prefix`)."""
        self._build = build
        self._use = use
        self._prefix = prefix.rstrip("/")
        self._heads = tuple(f"{self._prefix}{head}".encode() for head in ("/api/", "/c/"))
        self._app: AsgiApp | None = None
        self._building = asyncio.Lock()

    def takes(self, request: Request) -> bool:
        """Tell whether a request is for the API."""
        return request.raw_path.startswith(self._heads)

    async def prepare(self) -> None:
        """Build it while nobody asks for anything, where it will be used."""
        if self._use is None or not self._use.expected():
            return
        computed = _LOOK
        while computed > _IDLE * _LOOK and self._app is None:
            before = time.process_time()
            await asyncio.sleep(_LOOK)
            computed = time.process_time() - before
        await self._built()

    async def __call__(self, request: Request, send: Send) -> None:
        """Answer a request.

        Raises:
            ClientGone: The client left before there was an answer.
            NameInvalid: The path is encoded in a way that two programs could read differently.
        """
        request.route = LABEL
        if self._use is not None:
            self._use.note()
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
