"""The second step of a sign-in with a security key: what a browser is asked after the password, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from http import HTTPStatus
from typing import Any, Final

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal
from entrepot.access.second_factor.security_key_answers import Assertion
from entrepot.access.second_factor.security_key_challenges import PATIENCE
from entrepot.audit.sign_ins import RecordedAssertions
from entrepot.web.form import FormInvalid, read_form
from entrepot.web.http import Header, Request
from entrepot.web.responses import Response
from entrepot.web.router import Route
from entrepot.web.security_keys.party import find_party
from entrepot.web.services import Services
from entrepot.web.session.answers import NO_STORE, PROVIDER, refused
from entrepot.web.session.gate import SessionGate
from entrepot.web.session.temporary_cookies import PassingCookies

KEY_PATH: Final = "/c/login/key"
_TICKET: Final = "security-key"
_FIELDS: Final = tuple(field.name for field in fields(Assertion))


class KeyStep:
    """Asks a browser for a signature, and takes it."""

    def __init__(self, gate: SessionGate, assertions: RecordedAssertions) -> None:
        self._gate = gate
        self._assertions = assertions
        self._cookies = PassingCookies(gate.proxies)

    def routes(self) -> Mapping[str, Route]:
        """Return the route."""
        return {KEY_PATH: Route("login_key", {"POST": self.receive})}

    async def ask(self, request: Request, principal: Principal) -> tuple[dict[str, Any], tuple[Header, ...]]:
        """Return what to add to the answer to the right password of somebody: document and headers; maybe nothing."""
        party = find_party(request, self._gate.proxies)
        question = None if party is None else await self._assertions.ask(principal, party)
        if question is None:
            return {}, ()
        cookie = self._cookies.write(request, _TICKET, question.ticket, PATIENCE)
        return {"security_key": question.options}, (cookie,)

    async def receive(self, request: Request, services: Services) -> Response:  # noqa: ARG002 - a handler's signature
        """Open a session for who answers what `/c/login` has asked: a form with the fields of `Assertion`.

        Raises:
            ForeignRequest: A page of another site sent it.
            PlainHttp: The cookie would travel in the clear.
            TooManyRequests: Too many failures.
        """
        self._gate.check_origin(request)
        self._gate.cookies.require_private(request)
        try:
            answer = _assertion(await read_form(request))
        except FormInvalid as error:
            return refused(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", str(error))
        try:
            headers = await self._open(request, answer)
        except CredentialsRefused as error:
            done = self._cookies.clear(request, _TICKET)
            return refused(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", error.message, (done,))
        return Response(HTTPStatus.OK, (*headers, NO_STORE))

    async def _open(self, request: Request, answer: Assertion) -> tuple[Header, ...]:
        ticket = self._cookies.read(request, _TICKET)
        party = find_party(request, self._gate.proxies)
        if party is None:
            raise CredentialsRefused("security keys need https and a host with a name")
        principal = await self._assertions.prove(ticket, answer, party, request.client)
        opened = await self._gate.begin(request, principal, PROVIDER)
        return (*opened, self._cookies.clear(request, _TICKET))


def _assertion(form: Mapping[str, str]) -> Assertion:
    """Read the form.

    Raises:
        FormInvalid: It lacks a field.
    """
    if not {*_FIELDS} - {"user_handle"} <= form.keys():
        raise FormInvalid(f"send {', '.join(_FIELDS)}, as the browser has them, in base64url")
    return Assertion(**{name: form.get(name, "") for name in _FIELDS})
