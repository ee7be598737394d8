"""Whose session a request belongs to, once it is clear that no other site made the browser send it."""

from __future__ import annotations

import hmac
from typing import Final

from entrepot.access.model import Principal
from entrepot.access.web_sessions import NewSession, Session, Sessions
from entrepot.metadata.events import Source
from entrepot.web.http import Header, Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.cookies import SessionCookies
from entrepot.web.session.errors import ForeignRequest
from entrepot.web.session.origin import check_origin

#: The session's token for requests that change something: in each of our answers, and wanted in such a request.
#: The name is Harbor's, so that clients written for it work.
CSRF_HEADER: Final = b"x-harbor-csrf-token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SessionGate:
    """Reads sessions, and hands out their cookies."""

    def __init__(self, sessions: Sessions, proxies: Proxies, *, plain_http: bool = False) -> None:
        self.sessions = sessions
        self.cookies = SessionCookies(proxies, plain_http=plain_http)
        self.proxies = proxies

    async def authenticate(self, request: Request) -> Session | None:
        """Return the session of the request's cookie; None without one that counts.

        The answer will carry the session's token. Credentials in the Authorization header come first: ask only where
        there are none.

        Raises:
            ForeignRequest: The request would change something, and lacks the token or comes from another site.
        """
        cookie = self.cookies.read(request)
        session = await self.sessions.authenticate(cookie) if cookie else None
        if session is None:
            return None
        request.user = session.principal.name
        request.add_header(CSRF_HEADER, session.csrf.encode())
        if request.method not in _SAFE:
            check_origin(request, self.proxies)
            _check_token(request, session)
        return session

    async def authenticate_form(self, request: Request, token: str) -> Session | None:
        """Return the session of a form's cookie; `token` is what the form brings back in place of the header.

        Raises:
            ForeignRequest: The token is another, or the form comes from another site.
        """
        check_origin(request, self.proxies)
        cookie = self.cookies.read(request)
        session = await self.sessions.authenticate(cookie) if cookie else None
        if session is None:
            return None
        request.user = session.principal.name
        if not hmac.compare_digest(token.encode(), session.csrf.encode()):
            raise ForeignRequest("the form is not one of this session's; open the page again")
        return session

    def check_origin(self, request: Request) -> None:
        """Go on unless a page of another site made the browser send this, whatever the method.

        Raises:
            ForeignRequest: One did.
        """
        check_origin(request, self.proxies)

    def hand_out(self, request: Request, opened: NewSession) -> tuple[Header, ...]:
        """Return the headers that give a new session to the browser."""
        return (
            self.cookies.set(request, opened.cookie, opened.expires_in),
            (CSRF_HEADER, opened.csrf.encode()),
        )

    async def begin(self, request: Request, principal: Principal, provider: str) -> tuple[Header, ...]:
        """Open a session for somebody who has just proven who they are; return the headers that give it to the browser.

        Raises:
            CredentialsRefused: The principal has no account here, or it was closed or changed since.
        """
        request.user = principal.name
        agent = request.header(b"user-agent") or ""
        opened = await self.sessions.open(principal, provider=provider, address=request.client, agent=agent)
        await self.end(request)
        return self.hand_out(request, opened)

    async def end(self, request: Request) -> Session | None:
        """End the session that the browser came with, if any: nobody takes one over into a sign-in."""
        cookie = self.cookies.read(request)
        if not cookie:
            return None
        by = Source(name=request.user, address=request.client, credential="session", request=request.id)
        return await self.sessions.close(cookie, by)

    async def renew(self, request: Request) -> None:
        """Give the request's session a new cookie and token with whatever answer it gets.

        For a request that ends all sessions of its account, but its own.
        """
        opened = await self.sessions.renew(self.cookies.read(request))
        if opened is None:
            return
        others = (header for header in request.extra_headers if header[0] != CSRF_HEADER)
        request.extra_headers = (*others, *self.hand_out(request, opened))


def _check_token(request: Request, session: Session) -> None:
    given = request.header_values(CSRF_HEADER)
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), session.csrf.encode()):
        raise ForeignRequest(
            "a request with a session's cookie that changes something needs the header X-Harbor-CSRF-Token, with the "
            "value that the answer to a GET has there"
        )
