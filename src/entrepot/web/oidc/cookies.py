"""The cookies of a journey to a provider, and of somebody who chooses a name.

Each journey has a cookie of its own, named after its state: two that are under way do not take each other's place.
"""

from __future__ import annotations

import hashlib
from typing import Final

from entrepot.accounts.providers.pending_sign_ins import PATIENCE
from entrepot.web.http import Header, Request
from entrepot.web.proxies import Proxies
from entrepot.web.session.temporary_cookies import PassingCookies

_TICKET: Final = "oidc-ticket"


class JourneyCookies:
    """Reads and writes them."""

    def __init__(self, proxies: Proxies) -> None:
        self._cookies = PassingCookies(proxies)

    def journey(self, request: Request, state: str) -> str:
        """Return the cookie of a journey; empty when this browser has none."""
        return self._cookies.read(request, _journey(state))

    def set_journey(self, request: Request, state: str, value: str) -> Header:
        """Return the header that gives a browser the cookie of a journey."""
        return self._cookies.write(request, _journey(state), value, PATIENCE)

    def clear_journey(self, request: Request, state: str) -> Header:
        """Return the header that takes it back."""
        return self._cookies.clear(request, _journey(state))

    def ticket(self, request: Request) -> str:
        """Return the ticket of somebody who chooses a name; empty when this browser has none."""
        return self._cookies.read(request, _TICKET)

    def set_ticket(self, request: Request, value: str) -> Header:
        """Return the header that gives a browser a ticket."""
        return self._cookies.write(request, _TICKET, value, PATIENCE)

    def clear_ticket(self, request: Request) -> Header:
        """Return the header that takes it back."""
        return self._cookies.clear(request, _TICKET)


def _journey(state: str) -> str:
    return "oidc-" + hashlib.sha256(state.encode(errors="replace")).hexdigest()[:12]
