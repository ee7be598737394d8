"""The cookies of a journey to a provider, and of somebody who chooses a name.

Each journey has a cookie of its own, named after its state: two that are under way do not take each other's place.
"""

from __future__ import annotations

import hashlib
from typing import Final

from entrepot.accounts.providers.pending import PATIENCE
from entrepot.web.http import Header, Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.origin import is_https

_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"
_TICKET: Final = "oidc-ticket"


class JourneyCookies:
    """Reads and writes them."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    def journey(self, request: Request, state: str) -> str:
        """Return the cookie of a journey; empty when this browser has none."""
        return self._read(request, _journey(state))

    def set_journey(self, request: Request, state: str, value: str) -> Header:
        """Return the header that gives a browser the cookie of a journey."""
        return self._write(request, _journey(state), value, PATIENCE)

    def clear_journey(self, request: Request, state: str) -> Header:
        """Return the header that takes it back."""
        return self._write(request, _journey(state), "", 0)

    def ticket(self, request: Request) -> str:
        """Return the ticket of somebody who chooses a name; empty when this browser has none."""
        return self._read(request, _TICKET)

    def set_ticket(self, request: Request, value: str) -> Header:
        """Return the header that gives a browser a ticket."""
        return self._write(request, _TICKET, value, PATIENCE)

    def clear_ticket(self, request: Request) -> Header:
        """Return the header that takes it back."""
        return self._write(request, _TICKET, "", 0)

    def _read(self, request: Request, name: str) -> str:
        wanted = self._full(request, name)
        entries = (entry for header in request.header_values(b"cookie") for entry in header.split(";"))
        pairs = (entry.partition("=") for entry in entries)
        found = [value.strip() for key, _, value in pairs if key.strip() == wanted]
        return found[0] if len(found) == 1 else ""

    def _write(self, request: Request, name: str, value: str, seconds: int) -> Header:
        secure = "; Secure" if is_https(request, self._proxies) else ""
        text = f"{self._full(request, name)}={value}; Max-Age={seconds}; {_ATTRIBUTES}{secure}"
        return (b"set-cookie", text.encode("ascii"))

    def _full(self, request: Request, name: str) -> str:
        return f"__Host-{name}" if is_https(request, self._proxies) else name


def _journey(state: str) -> str:
    return "oidc-" + hashlib.sha256(state.encode(errors="replace")).hexdigest()[:12]
