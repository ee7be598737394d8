"""A small HTTP server in the test's own loop, which remembers what it heard: the other end of the way out."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.support.certificates import authority, identity

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Listener:
    """A server that runs, and what it was asked."""

    url: str
    port: int
    handlers: dict[str, Handler]
    heard: list[web.Request] = field(default_factory=list)

    def answer(self, path: str, make: Callable[[], web.Response]) -> None:
        """Let a path answer with what `make` makes each time."""

        async def handler(_request: web.Request) -> web.Response:
            return make()

        self.handlers[path] = handler

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.heard.append(request)
        handler = self.handlers.get(request.path)
        return web.Response(status=404) if handler is None else await handler(request)


@contextlib.asynccontextmanager
async def listening(
    handlers: Mapping[str, Handler],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Listener]:
    """Run a server for the paths given."""
    listener = Listener("", 0, dict(handlers))
    application = web.Application(client_max_size=1 << 20)
    application.router.add_route("*", "/{path:.*}", listener.respond)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
        listener.port = runner.addresses[0][1]
        listener.url = f"{'http' if context is None else 'https'}://{host}:{listener.port}"
        yield listener
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def two_at_one_port(
    first: str, second: str, handlers: Mapping[str, Handler]
) -> AsyncIterator[tuple[Listener, Listener]]:
    """Run two servers at two addresses of this machine and one port."""
    with socket.socket() as probe:
        probe.bind((second, 0))
        port = probe.getsockname()[1]
    async with (
        listening(handlers, host=first, port=port) as one,
        listening(handlers, host=second, port=port) as other,
    ):
        yield one, other


@contextlib.asynccontextmanager
async def listening_with_tls(folder: Path) -> AsyncIterator[tuple[Listener, str]]:
    """Run a server with TLS, which says `here`; gives it and the file of the authority that signed its certificate."""
    signer = authority()
    signer.write(folder / "ca.pem", folder / "ca.key")
    identity(signed_by=signer).write(folder / "server.pem", folder / "server.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def here(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    async with listening({"/": here}, context=context) as server:
        yield server, str(folder / "ca.pem")
