"""The management API on a data folder, called within the command's own process."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from entrepot.cli.management.api import Api, Reply

if TYPE_CHECKING:
    from entrepot.config import Config

#: The host that a request without a network has: browsers find nothing there.
NOWHERE: Final = "localhost"

_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]


@asynccontextmanager
async def local_api(place: Config) -> AsyncIterator[Api]:
    """Open the registry in a data folder, beside a running server or without one."""
    from entrepot.bootstrap import commands

    async with commands.operator(place, getpass.getuser()) as app:

        async def send(method: str, path: str, body: bytes | None) -> Reply:
            return await call(app, method, f"{place.http.prefix.rstrip('/')}{path}", body)

        yield Api(send)


async def call(app: _App, method: str, target: str, body: bytes | None) -> Reply:
    """Send one request to an ASGI application."""
    path, _, query = target.partition("?")
    exchange = _Exchange(body or b"")
    await app(_scope(method, path, query, body), exchange.receive, exchange.send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}
    return Reply(exchange.status, headers, exchange.body)


def _scope(method: str, path: str, query: str, body: bytes | None) -> _Message:
    length = str(len(body or b"")).encode()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", NOWHERE.encode()), (b"content-type", b"application/json"), (b"content-length", length)],
        "client": None,
        "server": (NOWHERE, 80),
        "extensions": {},
    }


class _Exchange:
    """One request and its answer."""

    def __init__(self, body: bytes) -> None:
        self._request: bytes | None = body
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def receive(self) -> _Message:
        if self._request is None:
            await asyncio.Event().wait()  # whoever asks here stays for the answer
        body, self._request = self._request, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
