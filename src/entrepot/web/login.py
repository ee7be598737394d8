"""The handlers of `/c/login` and `/c/log_out`, in the form that Harbor's clients know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded, SecondFactorNeeded
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.web_sessions import Session
from entrepot.oci.errors import RequestTimeout
from entrepot.web.distribution.locations import own_address
from entrepot.web.http import Header, Request
from entrepot.web.pages import ACCOUNT_PATH
from entrepot.web.responses import Response
from entrepot.web.router import Route
from entrepot.web.security_keys.sign_in import KeyStep
from entrepot.web.services import Services
from entrepot.web.session.answers import NO_STORE, PROVIDER, refused
from entrepot.web.session.gate import SessionGate

LOGIN_PATH: Final = "/c/login"
LOG_OUT_PATH: Final = "/c/log_out"
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
    gate: SessionGate,
    passwords: PasswordVerifier,
    farewell: Farewell | None = None,
    keys: KeyStep | None = None,
) -> Mapping[str, Route]:
    """Return the routes for signing in and out; with `keys`, security keys are asked for where somebody has one."""
    endpoint = SessionEndpoint(gate, passwords, farewell, keys)
    return {
        **({} if keys is None else keys.routes()),
        LOGIN_PATH: Route("login", {"POST": endpoint.log_in}),
        LOG_OUT_PATH: Route("log_out", {"GET": endpoint.log_out, "POST": endpoint.log_out}),
    }


class SessionEndpoint:
    """Opens and closes sessions."""

    def __init__(
        self, gate: SessionGate, passwords: PasswordVerifier, farewell: Farewell | None, keys: KeyStep | None
    ) -> None:
        self._gate = gate
        self._passwords = passwords
        self._farewell = farewell
        self._keys = keys

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
            return refused(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"send principal and password as {_FORM_TYPE}")
        try:
            opened = await self._open(request, form)
        except OneTimeCodeNeeded as needed:
            return await self._ask(request, needed)
        except SecondFactorNeeded as needed:
            return refused(HTTPStatus.UNAUTHORIZED, "SECOND_FACTOR_NEEDED", needed.message)
        except CredentialsRefused as error:
            return refused(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", error.message)
        return Response(HTTPStatus.OK, (*opened, NO_STORE))

    async def log_out(self, request: Request, services: Services) -> Response:
        """End the session, here and, where it began at a provider, there; nothing happens without one.

        A browser is led on to where one signs in, for an empty page says nothing.

        Raises:
            ForeignRequest: A page of another site sent it.
        """
        self._gate.check_origin(request)
        session = await self._gate.end(request)
        after = ""
        if session is not None and self._farewell is not None:
            after = await self._farewell(session, own_address(request, services) + "/")
        headers = [self._gate.cookies.clear(request), NO_STORE]
        if not after and request.method == "GET" and "text/html" in (request.header(b"accept") or ""):
            after = services.settings.prefix.rstrip("/") + f"{ACCOUNT_PATH}?signed_out=1"
        if after:
            return Response(HTTPStatus.FOUND, [*headers, (b"location", after.encode("ascii"))])
        return Response(HTTPStatus.OK, headers)

    async def _open(self, request: Request, form: _Form) -> tuple[Header, ...]:
        basic = Basic(form.name, form.password, form.code, fresh=True)
        return await open_session(self._gate, self._passwords, request, basic)

    async def _ask(self, request: Request, needed: OneTimeCodeNeeded) -> Response:
        """Say that the password does not suffice, and what a security key is to sign, where there is one."""
        more, headers = ({}, ()) if self._keys is None else await self._keys.ask(request, needed.principal)
        return refused(HTTPStatus.UNAUTHORIZED, "CODE_NEEDED", needed.message, headers, **more)


async def open_session(
    gate: SessionGate, passwords: PasswordVerifier, request: Request, basic: Basic
) -> tuple[Header, ...]:
    """Open a session for who has name and password, and return the headers that give it to the browser.

    Raises:
        CredentialsRefused: They are wrong, or do not suffice.
        TooManyRequests: Too many failures.
    """
    principal = await passwords.verify(basic, request.client)
    _require_person(principal)
    return await gate.begin(request, principal, PROVIDER)


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
