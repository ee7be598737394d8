"""Cookies of what is under way and over in minutes: a sign-in at a provider, or with a security key."""

from __future__ import annotations

from typing import Final

from entrepot.web.http import Header, Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.origin import is_https

_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"


class PassingCookies:
    """Reads and writes them; over https no other host of the domain can put one under."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    def read(self, request: Request, name: str) -> str:
        """Return a cookie's value; empty without one, and when there are two that nobody can tell apart."""
        wanted = self._full(request, name)
        entries = (entry for header in request.header_values(b"cookie") for entry in header.split(";"))
        pairs = (entry.partition("=") for entry in entries)
        found = [value.strip() for key, _, value in pairs if key.strip() == wanted]
        return found[0] if len(found) == 1 else ""

    def write(self, request: Request, name: str, value: str, seconds: int) -> Header:
        """Return the header that makes a browser keep a cookie."""
        secure = "; Secure" if is_https(request, self._proxies) else ""
        text = f"{self._full(request, name)}={value}; Max-Age={seconds}; {_ATTRIBUTES}{secure}"
        return (b"set-cookie", text.encode("ascii"))

    def clear(self, request: Request, name: str) -> Header:
        """Return the header that makes a browser forget one."""
        return self.write(request, name, "", 0)

    def _full(self, request: Request, name: str) -> str:
        return f"__Host-{name}" if is_https(request, self._proxies) else name
