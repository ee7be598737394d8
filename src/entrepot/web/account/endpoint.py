"""The handlers of the page of oneself.

Every form brings back the session's token: a page of another site can send a form with the cookie, and cannot know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded, SecondFactorNeeded
from entrepot.access.faults import Fault, Forbidden, Invalid, NotFound
from entrepot.access.passwords.credentials import Basic
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_keys import SecurityKeys
from entrepot.access.web_sessions import Session
from entrepot.accounts.keys import Keys
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.events import Source
from entrepot.metadata.people import users
from entrepot.metadata.people.api_keys import ApiKeyRecord
from entrepot.web.account.pages import (
    CODES_PATH,
    DAYS,
    KEY_PATH,
    MUST_CHANGE,
    MUST_ENROL,
    PASSWORD_PATH,
    Myself,
    enrolment_page,
    made_page,
    own_page,
    question,
    recovery_page,
    sign_in_page,
)
from entrepot.web.form import FormInvalid, read_form
from entrepot.web.http import Request
from entrepot.web.login import open_session
from entrepot.web.oidc.paths import LOGIN_PATH as PROVIDER_LOGIN_PATH
from entrepot.web.pages import ACCOUNT_PATH, Frame
from entrepot.web.responses import Response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.answers import NO_STORE
from entrepot.web.session.errors import ForeignRequest
from entrepot.web.session.gate import SessionGate

if TYPE_CHECKING:
    from entrepot.accounts.user_passwords import UserPasswords

#: Gives the sign-in providers' names, with their names for people.
Choices = Callable[[], Awaitable[Mapping[str, str]]]
#: What somebody does who must set up a second factor.
_SETTING_UP: Final = frozenset({"begin", "confirm"})
_ASKED: Final = frozenset({"renew", "remove"})
_DAY: Final = 24 * 3600.0
_MOST_PARAMETERS: Final = 10
_STATUS: Final[Mapping[type[Fault], HTTPStatus]] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts:
    """What the page works with."""

    gate: SessionGate
    passwords: PasswordVerifier
    metadata: Reader
    keys: Keys
    factors: SecondFactors
    security_keys: SecurityKeys
    passwords_of_people: Callable[[], UserPasswords]  #: imports and builds what changes them
    authorizer: Authorizer
    choices: Choices


class AccountPages:
    """The page of oneself, and of signing in where nobody is."""

    def __init__(self, parts: AccountParts) -> None:
        self._parts = parts

    def routes(self) -> Mapping[str, Route]:
        """Return the routes."""
        return {
            ACCOUNT_PATH: Route("account", {"GET": self.show, "POST": self.sign_in}),
            KEY_PATH: Route("account_key", {"GET": self.ask, "POST": self.change}),
            PASSWORD_PATH: Route("account_password", {"POST": self.change_password}),
            CODES_PATH: Route("account_codes", {"POST": self.change_codes}),
        }

    async def show(self, request: Request, services: Services) -> Response:
        """Show who is signed in, or how one signs in."""
        frame = Frame.of(request, services)
        session = await self._parts.gate.authenticate(request)
        if session is None:
            news = _news(request, {"signed_out": "signed-out", "changed": "password-changed"})
            return await self._sign_in_page(frame, status=HTTPStatus.OK, news=news)
        news = _news(request, {"removed": "removed", "codes_off": "codes-are-off"})
        return own_page(await self._myself(session), frame, news=news, status=HTTPStatus.OK)

    async def sign_in(self, request: Request, services: Services) -> Response:
        """Sign in with name and password, and a code where one is needed.

        Raises:
            ForeignRequest: A page of another site sent it: it would sign its visitor in under somebody else's name.
            PlainHttp: The cookie would travel in the clear.
            TooManyRequests: Too many failures.
        """
        gate, frame = self._parts.gate, Frame.of(request, services)
        gate.check_origin(request)
        gate.cookies.require_private(request)
        try:
            form = await read_form(request)
        except FormInvalid as error:
            return await self._sign_in_page(frame, status=HTTPStatus.BAD_REQUEST, trouble=str(error))
        name, code = form.get("principal", ""), form.get("code", "").strip()
        basic = Basic(name, form.get("password", ""), code, fresh=True)
        try:
            headers = await open_session(gate, self._parts.passwords, request, basic)
        except OneTimeCodeNeeded:
            trouble = frame.text("code-needed")
        except SecondFactorNeeded:
            trouble = frame.text("must-enrol")
        except CredentialsRefused as error:
            trouble = error.message
        else:
            return _see_other(frame.prefix + ACCOUNT_PATH, *headers)
        return await self._sign_in_page(frame, status=HTTPStatus.UNAUTHORIZED, trouble=trouble, name=name)

    async def ask(self, request: Request, services: Services) -> Response:
        """Ask before a key is renewed or removed."""
        frame = Frame.of(request, services)
        session = await self._parts.gate.authenticate(request)
        if session is None:
            return await self._over(frame)
        me = await self._myself(session)
        wanted = _parameters(request)
        key = _key_of(me, wanted.get("id", ""))
        if key is None or wanted.get("do") not in _ASKED or me.must:
            return own_page(me, frame, status=HTTPStatus.NOT_FOUND)
        return question(me, key, wanted["do"], frame)

    async def change(self, request: Request, services: Services) -> Response:
        """Make, renew or remove a key.

        Raises:
            ForeignRequest: The form is not ours, or a page of another site sent it.
        """
        frame = Frame.of(request, services)
        session, form = await self._posted(request)
        if session is None:
            return await self._over(frame)
        me = await self._myself(session)
        if me.must:
            return own_page(me, frame, status=HTTPStatus.FORBIDDEN)
        try:
            return await self._change(me, session, form, request, services)
        except Fault as fault:
            return _refusal(me, frame, fault)

    async def change_password(self, request: Request, services: Services) -> Response:
        """Change one's own password, knowing the old one; it ends this session, too.

        Raises:
            ForeignRequest: The form is not ours, or a page of another site sent it.
            TooManyRequests: Too many wrong passwords.
        """
        frame = Frame.of(request, services)
        session, form = await self._posted(request)
        if session is None:
            return await self._over(frame)
        me = await self._myself(session)
        new = form.get("new", "")
        if new != form.get("again", ""):
            return _refusal(me, frame, Invalid(frame.text("not-the-same")))
        passwords = await asyncio.to_thread(self._parts.passwords_of_people)
        try:
            await passwords.change_own(me.person.id, form.get("old", ""), new, by=_source(session, request))
        except Fault as fault:
            return _refusal(me, frame, fault)
        return _see_other(f"{frame.prefix}{ACCOUNT_PATH}?changed=1")

    async def change_codes(self, request: Request, services: Services) -> Response:
        """Set up one-time codes, turn them off, or get new recovery codes.

        Raises:
            ForeignRequest: The form is not ours, or a page of another site sent it.
            TooManyRequests: Too many wrong codes.
        """
        frame = Frame.of(request, services)
        session, form = await self._posted(request)
        if session is None:
            return await self._over(frame)
        me, wanted = await self._myself(session), form.get("do", "")
        if me.factors is None or me.must == MUST_CHANGE or (me.must and wanted not in _SETTING_UP):
            return own_page(me, frame, status=HTTPStatus.FORBIDDEN)
        try:
            return await self._change_codes(me, session, form, request, services)
        except CredentialsRefused as refused:
            fault: Fault = Invalid(refused.message)
        except Fault as refused:
            fault = refused
        if wanted == "confirm" and isinstance(fault, Invalid):
            return enrolment_page(me, frame, None, trouble=str(fault))
        return _refusal(me, frame, fault)

    async def _change_codes(
        self, me: Myself, session: Session, form: Mapping[str, str], request: Request, services: Services
    ) -> Response:
        frame, factors, principal = Frame.of(request, services), self._parts.factors, session.principal
        by, code = _source(session, request), form.get("code", "").strip()
        match form.get("do"):
            case "begin":
                issuer = urlsplit(services.proxies.origin(request)).netloc or "entrepot"
                return enrolment_page(me, frame, await factors.enrol(principal, issuer.replace(":", " ")))
            case "confirm":
                await self._parts.security_keys.require_password_beside(principal, form.get("password"), by.address)
                codes = await factors.confirm(principal, code, by)
                await self._parts.gate.renew(request)
                return recovery_page(codes, frame)
            case "renew":
                return recovery_page(await factors.new_codes(principal, code, by), frame)
            case "disable":
                await factors.disable(principal, code, by)
                await self._parts.gate.renew(request)
                return _see_other(f"{frame.prefix}{ACCOUNT_PATH}?codes_off=1")
        raise Invalid("one-time codes are set up, turned off, or replaced")

    async def _posted(self, request: Request) -> tuple[Session | None, Mapping[str, str]]:
        """Return the session that a form came with, and the form.

        Raises:
            ForeignRequest: No page of ours sends such a form.
        """
        try:
            form = await read_form(request)
        except FormInvalid as error:
            raise ForeignRequest(f"the form is not one of this page's: {error}") from None
        return await self._parts.gate.authenticate_form(request, form.get("token", "")), form

    async def _change(
        self, me: Myself, session: Session, form: Mapping[str, str], request: Request, services: Services
    ) -> Response:
        frame, keys, owner = Frame.of(request, services), self._parts.keys, me.person.id
        acting, by = session.principal, _source(session, request)
        host = urlsplit(services.proxies.origin(request)).netloc
        if form.get("do") == "make":
            end = _end(form.get("days", ""))
            made = await keys.create(owner, form.get("name", "").strip(), acting=acting, by=by, expires_at=end)
            return made_page(made, me.person, host, frame)
        key = _key_of(me, form.get("id", ""))
        if key is None:
            raise NotFound("you have no such key")
        if form.get("do") == "renew":
            return made_page(await keys.rotate(owner, key.id, acting=acting, by=by), me.person, host, frame)
        if form.get("do") != "remove":
            raise Invalid("a key is made, renewed or removed")
        await keys.remove(owner, key.id, by=by)
        return _see_other(f"{frame.prefix}{ACCOUNT_PATH}?removed=1")

    async def _myself(self, session: Session) -> Myself:
        person = await users.find(self._parts.metadata, session.principal.name)
        assert person is not None  # only people have sessions
        principal, (kind, _, name) = session.principal, person.provider.partition(":")
        must = ""
        if await self._parts.authorizer.must_change_password(principal):
            must = MUST_CHANGE
        elif await self._parts.authorizer.is_unproven(principal):
            must = MUST_ENROL
        return Myself(
            person=person,
            token=session.csrf,
            keys=await self._parts.keys.list(person.id),
            factors=await self._parts.factors.status(person.id) if kind != "oidc" else None,
            provider=(await self._parts.choices()).get(name, name) if kind == "oidc" else "",
            must=must,
        )

    async def _over(self, frame: Frame) -> Response:
        trouble = frame.text("ended-session")
        return await self._sign_in_page(frame, status=HTTPStatus.UNAUTHORIZED, trouble=trouble)

    async def _sign_in_page(
        self, frame: Frame, *, status: HTTPStatus, trouble: str = "", news: str = "", name: str = ""
    ) -> Response:
        query = {"redirect_url": ACCOUNT_PATH}
        ways = {
            f"{frame.prefix}{PROVIDER_LOGIN_PATH}?{urlencode({'provider': provider, **query})}": title
            for provider, title in (await self._parts.choices()).items()
        }
        return sign_in_page(ways, frame, trouble=trouble, news=news, name=name, status=status)


def _refusal(me: Myself, frame: Frame, fault: Fault) -> Response:
    return own_page(me, frame, trouble=str(fault), status=_STATUS.get(type(fault), HTTPStatus.CONFLICT))


def _source(session: Session, request: Request) -> Source:
    name = session.principal.name
    return Source(name=name, address=request.client, credential="session", request=request.id)


def _news(request: Request, known: Mapping[str, str]) -> str:
    return next((text for parameter, text in known.items() if request.query(parameter)), "")


def _key_of(me: Myself, number: str) -> ApiKeyRecord | None:
    return next((key for key in me.keys if str(key.id) == number), None)


def _end(days: str) -> int | None:
    """Return when a key ends that was asked for.

    Raises:
        Invalid: It is none of the ends that are offered.
    """
    if days not in DAYS:
        raise Invalid("choose when the key ends")
    return clock.after(int(days) * _DAY) if days else None


def _parameters(request: Request) -> dict[str, str]:
    try:
        found = parse_qs(str(request.scope["query_string"], "latin-1"), max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _see_other(address: str, *headers: tuple[bytes, bytes]) -> Response:
    return Response(HTTPStatus.SEE_OTHER, [(b"location", address.encode("ascii")), NO_STORE, *headers])
