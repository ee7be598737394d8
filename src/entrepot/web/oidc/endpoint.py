"""The handlers of signing in by a provider."""

from __future__ import annotations

import hashlib
import hmac
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import NotFound
from entrepot.accounts.providers.model import ProviderUnavailable, SignInRefused
from entrepot.accounts.providers.pending_sign_ins import Ticket
from entrepot.accounts.providers.sign_in import NameWanted, ProviderSignIn, Visit, Welcome
from entrepot.web.distribution.locations import own_address
from entrepot.web.form import FormInvalid, read_form
from entrepot.web.http import Header, Request
from entrepot.web.oidc.cookies import JourneyCookies
from entrepot.web.oidc.pages import choice, name_form, problem
from entrepot.web.oidc.paths import CALLBACK_PATH, LOGIN_PATH, ONBOARD_PATH
from entrepot.web.oidc.redirects import RedirectRefused, local_path
from entrepot.web.pages import ACCOUNT_PATH, Frame, taken_query
from entrepot.web.responses import Response
from entrepot.web.services import Services
from entrepot.web.session.errors import ForeignRequest
from entrepot.web.session.gate import SessionGate

_MOST_PARAMETERS: Final = 20
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")


class ProviderEndpoint:
    """Sends browsers to providers, and receives them."""

    def __init__(self, gate: SessionGate, sign_in: ProviderSignIn) -> None:
        self._gate = gate
        self._sign_in = sign_in
        self._cookies = JourneyCookies(gate.proxies)

    async def leave(self, request: Request, services: Services) -> Response:
        """Send the browser to the provider that it names, or to the only one; else show which there are.

        Raises:
            PlainHttp: The session's cookie would travel in the clear.
        """
        self._gate.cookies.require_private(request)
        choices = await self._sign_in.choices()
        wanted = request.query("provider") or (next(iter(choices)) if len(choices) == 1 else "")
        try:
            back_to = local_path(request.query("redirect_url") or ACCOUNT_PATH)
        except RedirectRefused as refused:
            return self._problem(HTTPStatus.BAD_REQUEST, str(refused), request, services)
        if not wanted:
            ways = {_login(services, name, back_to): title for name, title in choices.items()}
            return choice(ways, Frame.of(request, services))
        return await self._send(wanted, back_to, request, services)

    async def _send(self, name: str, back_to: str, request: Request, services: Services) -> Response:
        """Send the browser to a provider, with a sealed cookie that it must bring back."""
        redirect_uri = own_address(request, services) + CALLBACK_PATH
        redirect_uri += f"/{name}" if name in self._sign_in.fixed else ""
        try:
            anew = bool(request.query("anew"))
            departure = await self._sign_in.begin(name, redirect_uri, back_to, _visit(request), anew=anew)
        except NotFound as unknown:
            return self._problem(HTTPStatus.NOT_FOUND, str(unknown), request, services)
        except ProviderUnavailable as error:
            return self._problem(HTTPStatus.BAD_GATEWAY, str(error), request, services)
        return _see_other(departure.address, self._cookies.set_journey(request, departure.state, departure.cookie))

    async def arrive(self, request: Request, services: Services, name: str = "") -> Response:
        """Receive a browser that comes back from a provider; without a name, from the one of the settings.

        Raises:
            PlainHttp: The session's cookie would travel in the clear.
        """
        answer = _taken_query(request)
        self._gate.cookies.require_private(request)
        state = answer.get("state", "")
        done = self._cookies.clear_journey(request, state)
        name = name or await self._set()
        try:
            cookie = self._cookies.journey(request, state)
            outcome = await self._sign_in.complete(name, answer, cookie, _visit(request))
        except NotFound as unknown:
            return self._problem(HTTPStatus.NOT_FOUND, str(unknown), request, services, done)
        except (SignInRefused, CredentialsRefused) as refused:
            return self._problem(HTTPStatus.FORBIDDEN, _said(refused), request, services, done, provider=name)
        except ProviderUnavailable as error:
            return self._problem(HTTPStatus.BAD_GATEWAY, str(error), request, services, done)
        return await self._go_on(outcome, request, services, done)

    async def show_form(self, request: Request, services: Services) -> Response:
        """Show the form on which somebody new chooses a name."""
        try:
            wanted = await self._sign_in.stranger(Ticket(secret=self._cookies.ticket(request)))
        except (SignInRefused, NotFound) as refused:
            return self._problem(HTTPStatus.FORBIDDEN, str(refused), request, services)
        return self._form(wanted, request, services)

    async def choose_name(self, request: Request, services: Services) -> Response:
        """Make the account.

        Raises:
            ForeignRequest: The form is not ours, or a page of another site sent it.
            PlainHttp: The session's cookie would travel in the clear.
        """
        self._gate.check_origin(request)
        self._gate.cookies.require_private(request)
        ticket = Ticket(secret=self._cookies.ticket(request))
        try:
            form = await read_form(request)
            _check_token(form.get("token", ""), ticket)
            outcome = await self._sign_in.choose(ticket, form.get("username", ""), _visit(request))
        except FormInvalid as error:
            return self._problem(HTTPStatus.BAD_REQUEST, str(error), request, services)
        except (SignInRefused, CredentialsRefused, NotFound) as refused:
            done = self._cookies.clear_ticket(request)
            return self._problem(HTTPStatus.FORBIDDEN, _said(refused), request, services, done)
        if isinstance(outcome, NameWanted):
            return self._form(outcome, request, services)
        return await self._go_on(outcome, request, services, self._cookies.clear_ticket(request))

    async def _set(self) -> str:
        """Return the name of the provider of the settings; empty when there is none."""
        return next((name for name in await self._sign_in.choices() if name not in self._sign_in.fixed), "")

    async def _go_on(
        self, outcome: Welcome | NameWanted, request: Request, services: Services, *headers: Header
    ) -> Response:
        prefix = services.settings.prefix.rstrip("/")
        if isinstance(outcome, NameWanted):
            ticket = self._cookies.set_ticket(request, outcome.ticket.secret)
            return _see_other(prefix + ONBOARD_PATH, ticket, *headers)
        request.user = outcome.name
        await self._gate.end(request)
        return _see_other(prefix + outcome.back_to, *self._gate.hand_out(request, outcome.session), *headers)

    def _form(self, wanted: NameWanted, request: Request, services: Services) -> Response:
        frame = Frame.of(request, services)
        return name_form(
            action=frame.prefix + ONBOARD_PATH,
            token=_form_token(wanted.ticket),
            suggestion=wanted.suggestion,
            title=wanted.title,
            trouble=wanted.problem,
            frame=frame,
        )

    def _problem(
        self,
        status: HTTPStatus,
        message: str,
        request: Request,
        services: Services,
        *headers: Header,
        provider: str = "",
    ) -> Response:
        """Say why nobody was signed in; a provider that lets somebody in whom we refuse is asked who it is, anew."""
        anew = f"{_login(services, provider, ACCOUNT_PATH)}&anew=1" if provider else ""
        return problem(status, message, Frame.of(request, services), somebody_else=anew, headers=headers)


def _taken_query(request: Request) -> dict[str, str]:
    """Return what a provider sent along, and keep it out of the access log: it holds the code.

    A parameter that comes twice has two readings, and counts as none.
    """
    try:
        found = parse_qs(taken_query(request), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _login(services: Services, name: str, back_to: str) -> str:
    query = urlencode({"provider": name, "redirect_url": back_to}, quote_via=quote)
    return f"{services.settings.prefix.rstrip('/')}{LOGIN_PATH}?{query}"


def _see_other(address: str, *headers: Header) -> Response:
    return Response(HTTPStatus.SEE_OTHER, [(b"location", address.encode("ascii")), _NO_STORE, *headers])


def _visit(request: Request) -> Visit:
    return Visit(address=request.client, agent=request.header(b"user-agent") or "", request=request.id)


def _form_token(ticket: Ticket) -> str:
    """Return what the form must bring back: only a page that knows the ticket can know it."""
    return hashlib.sha256(b"form of " + ticket.secret.encode(errors="replace")).hexdigest()


def _check_token(given: str, ticket: Ticket) -> None:
    if not hmac.compare_digest(given.encode(), _form_token(ticket).encode()):
        raise ForeignRequest("the form is not the one that was shown last; sign in again")


def _said(error: Exception) -> str:
    return error.message if isinstance(error, CredentialsRefused) else str(error)
