"""The handlers of `/c/login` and `/c/log_out`, in the form that Harbor's clients know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.credentials import Basic
from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.sessions import NewSession, Session
from entrepot.metadata.events import Source
from entrepot.oci.errors import RequestTimeout
from entrepot.web.distribution.locations import own_address
from entrepot.web.http import Header, Request
from entrepot.web.responses import BytesResponse, Response, json_response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate

LOGIN_PATH: Final = "/c/login"
LOG_OUT_PATH: Final = "/c/log_out"
#: What names a session that a password opened.
PROVIDER: Final = "password"
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_FORM_BYTES: Final = 16 * 1024
_FORM_FIELDS: Final = 20
#: The whole form must have arrived after this time.
_FORM_SECONDS: Final = 10.0

#: Ends a session where it began, too; returns where to send the browser for that, or nothing. It is told where the
#: browser should come back to.
Farewell = Callable[[Session, str], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What `/c/login` is sent."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False)


def session_routes(
    gate: SessionGate, passwords: PasswordVerifier, farewell: Farewell | None = None
) -> Mapping[str, Route]:
    """Return the routes for signing in and out."""
    endpoint = SessionEndpoint(gate, passwords, farewell)
    return {
        LOGIN_PATH: Route("login", {"POST": endpoint.log_in}),
        LOG_OUT_PATH: Route("log_out", {"GET": endpoint.log_out, "POST": endpoint.log_out}),
    }


class SessionEndpoint:
    """Opens and closes sessions."""

    def __init__(self, gate: SessionGate, passwords: PasswordVerifier, farewell: Farewell | None) -> None:
        self._gate = gate
        self._passwords = passwords
        self._farewell = farewell

    async def log_in(self, request: Request, services: Services) -> Response:  # noqa: ARG002 - a handler's signature
        """Answer the form `principal`, `password` and, where the account has a second factor, `code`.

        Raises:
            ForeignRequest: A page of another site sent it: it would sign its visitor in under somebody else's name.
            PlainHttp: The cookie would travel in the clear.
            TooManyRequests: Too many failures.
        """
        self._gate.check_origin(request)
        self._gate.cookies.require_private(request)
        form = _read_form(request.header(b"content-type"), await _body(request))
        if form is None:
            return _answer(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"send principal and password as {_FORM_TYPE}")
        try:
            opened = await self._open(request, form)
        except OneTimeCodeNeeded as needed:
            return _answer(HTTPStatus.UNAUTHORIZED, "CODE_NEEDED", needed.message)
        except CredentialsRefused as refused:
            return _answer(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", refused.message)
        await self._close(request)
        return Response(HTTPStatus.OK, (*self._gate.hand_out(request, opened), _NO_STORE))

    async def log_out(self, request: Request, services: Services) -> Response:
        """End the session, here and, where it began at a provider, there; nothing happens without one.

        Raises:
            ForeignRequest: A page of another site sent it.
        """
        self._gate.check_origin(request)
        session = await self._close(request)
        after = ""
        if session is not None and self._farewell is not None:
            after = await self._farewell(session, own_address(request, services) + "/")
        headers = [self._gate.cookies.clear(request), _NO_STORE]
        if after:
            return Response(HTTPStatus.FOUND, [*headers, (b"location", after.encode("ascii"))])
        return Response(HTTPStatus.OK, headers)

    async def _open(self, request: Request, form: _Form) -> NewSession:
        principal = await self._passwords.verify(Basic(form.name, form.password, form.code), request.client)
        _require_person(principal)
        request.user = principal.name
        agent = request.header(b"user-agent") or ""
        return await self._gate.sessions.open(principal, provider=PROVIDER, address=request.client, agent=agent)

    async def _close(self, request: Request) -> Session | None:
        """End the session that the browser came with, if any: nobody takes one over into a sign-in."""
        cookie = self._gate.cookies.read(request)
        if not cookie:
            return None
        by = Source(name=request.user, address=request.client, credential="session", request=request.id)
        return await self._gate.sessions.close(cookie, by)


def _require_person(principal: Principal) -> None:
    """Go on only for a person with a password: a session would outlive a key, and its limits."""
    if principal.kind is not PrincipalKind.USER or principal.key is not None:
        raise CredentialsRefused("keys and robots open no session; sign in with name and password")


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            return await request.body.read(_FORM_BYTES)
    except TimeoutError:
        raise RequestTimeout(f"The form did not arrive within {_FORM_SECONDS:g} s; send it again.") from None


def _read_form(content_type: str | None, body: bytes) -> _Form | None:
    """Read the form; None when it is none."""
    if (content_type or "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FORM_FIELDS, errors="strict")
    except ValueError:
        return None
    if any(len(values) != 1 or "\0" in values[0] for values in fields.values()):
        return None
    if not {"principal", "password"} <= fields.keys():
        return None
    return _Form(name=fields["principal"][0], password=fields["password"][0], code=fields.get("code", [""])[0])


def _answer(status: HTTPStatus, code: str, message: str) -> BytesResponse:
    return json_response(status, {"errors": [{"code": code, "message": message}]}, (_NO_STORE,))
