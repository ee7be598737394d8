"""The routes of signing in by a provider. What answers them is imported and built when the first browser comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from entrepot.access.web_sessions import Session
from entrepot.web.http import Request
from entrepot.web.oidc.paths import CALLBACK_PATH, LOGIN_PATH, ONBOARD_PATH
from entrepot.web.responses import Response
from entrepot.web.router import Handler, Route
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate

if TYPE_CHECKING:
    from entrepot.accounts.providers.sign_in import ProviderSignIn
    from entrepot.web.oidc.endpoint import ProviderEndpoint

Build = Callable[[], "ProviderSignIn"]
_Answer = Callable[["ProviderEndpoint", Request, Services], Awaitable[Response]]


class ProviderPages:
    """The pages; `build` makes what they work with."""

    def __init__(self, gate: SessionGate, build: Build) -> None:
        self._gate = gate
        self._build = build
        self._lock = asyncio.Lock()
        self._built: tuple[ProviderSignIn, ProviderEndpoint] | None = None

    def routes(self, names: Iterable[str]) -> Mapping[str, Route]:
        """Return the routes; the providers of these names have redirect addresses of their own."""
        leave = self._handler(lambda endpoint, request, services: endpoint.leave(request, services))
        show = self._handler(lambda endpoint, request, services: endpoint.show_form(request, services))
        choose = self._handler(lambda endpoint, request, services: endpoint.choose_name(request, services))
        return {
            LOGIN_PATH: Route("oidc_login", {"GET": leave}),
            ONBOARD_PATH: Route("oidc_onboard", {"GET": show, "POST": choose}),
            CALLBACK_PATH: self._callback(""),
            **{f"{CALLBACK_PATH}/{name}": self._callback(name) for name in names},
        }

    async def farewell(self, session: Session, back_to: str) -> str:
        """Return where a browser ends the provider's session behind one of ours; empty when nowhere."""
        if not session.provider.startswith("oidc:"):
            return ""
        return await (await self._parts())[0].farewell(session, back_to)

    async def choices(self) -> Mapping[str, str]:
        """Return the providers' names, with their names for people."""
        return await (await self._parts())[0].choices()

    def prepare(self) -> None:
        """Build everything now, so that what is wrong with it is said at the start."""
        self._built = self._make()

    def _callback(self, name: str) -> Route:
        receive = self._handler(lambda endpoint, request, services: endpoint.arrive(request, services, name))
        return Route("oidc_callback", {"GET": receive})

    def _handler(self, answer: _Answer) -> Handler:
        async def handle(request: Request, services: Services) -> Response:
            return await answer((await self._parts())[1], request, services)

        return handle

    async def _parts(self) -> tuple[ProviderSignIn, ProviderEndpoint]:
        async with self._lock:
            if self._built is None:
                self._built = await asyncio.to_thread(self._make)
            return self._built

    def _make(self) -> tuple[ProviderSignIn, ProviderEndpoint]:
        from entrepot.web.oidc.endpoint import ProviderEndpoint  # noqa: PLC0415 - many registries have no provider

        sign_in = self._build()
        return sign_in, ProviderEndpoint(self._gate, sign_in)
