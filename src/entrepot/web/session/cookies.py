"""The session's cookie (RFC 6265bis).

Over https it is `__Host-sid`: browsers take such a one only from this host, by https and for all paths, so that no
other host of the same domain can put one under. Over plain http that name is not possible, and the plain one is used,
on this host alone unless the operator wants it otherwise.
"""

from __future__ import annotations

from typing import Final

from entrepot.web.http import Header, Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.errors import PlainHttp
from entrepot.web.session.origin import is_https, is_own_host

SECURE_NAME: Final = "__Host-sid"
PLAIN_NAME: Final = "sid"
_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"


class SessionCookies:
    """Reads and writes the cookie."""

    def __init__(self, proxies: Proxies, *, plain_http: bool = False) -> None:
        """Keep how to tell https; `plain_http` allows sessions over http from other hosts."""
        self._proxies = proxies
        self._plain_http = plain_http

    def require_private(self, request: Request) -> None:
        """Go on only if a cookie would not travel in the clear.

        Raises:
            PlainHttp: It would.
        """
        if self._plain_http or is_https(request, self._proxies) or is_own_host(request, self._proxies):
            return
        raise PlainHttp(
            "a session would travel in the clear: sign in over https, or from this host; behind a proxy that speaks "
            "https, have it send X-Forwarded-Proto"
        )

    def read(self, request: Request) -> str:
        """Return the cookie's value; empty without one, and when there are two that nobody can tell apart."""
        wanted = self._name(request)
        found = [value for name, value in _pairs(request) if name == wanted]
        return found[0] if len(found) == 1 else ""

    def set(self, request: Request, value: str, seconds: int) -> Header:
        """Return the header that makes a browser keep the cookie."""
        return self._header(request, value, seconds)

    def clear(self, request: Request) -> Header:
        """Return the header that makes a browser forget the cookie."""
        return self._header(request, "", 0)

    def _header(self, request: Request, value: str, seconds: int) -> Header:
        secure = "; Secure" if is_https(request, self._proxies) else ""
        return (b"set-cookie", f"{self._name(request)}={value}; Max-Age={seconds}; {_ATTRIBUTES}{secure}".encode())

    def _name(self, request: Request) -> str:
        return SECURE_NAME if is_https(request, self._proxies) else PLAIN_NAME


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Return the cookies of all Cookie headers; HTTP/2 clients send one header for each."""
    entries = (entry for header in request.header_values(b"cookie") for entry in header.split(";"))
    return [(name.strip(), value.strip()) for name, _, value in (entry.partition("=") for entry in entries)]
