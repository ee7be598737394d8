"""Several ways to sign in with a name and a password, asked one after the other.

What a client sends as its password may be an API key, a token of a CI service, or a password of ours or of a directory.
The first way that recognises its own decides, and its no is a no: nobody gets a second try elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic


class PartialVerifier(Protocol):
    """Knows one kind of credentials."""

    async def verify(self, basic: Basic, client: str) -> Principal | None:
        """Return the principal; None when these are no credentials of this kind, or of nobody known here.

        Raises:
            CredentialsRefused: They are, and do not count.
            TooManyRequests: Too many failures from there or for that account.
        """
        ...


class Chain:
    """A `PasswordVerifier` that asks each way in turn.

    `last` answers for whatever nobody took: it must spend on unknown names the time that known ones take.
    """

    def __init__(self, ways: Sequence[PartialVerifier], last: PasswordVerifier) -> None:
        self._ways = tuple(ways)
        self._last = last

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`; the name counts in its composed form (NFC), in which accounts are named."""
        if not unicodedata.is_normalized("NFC", basic.username):
            basic = replace(basic, username=unicodedata.normalize("NFC", basic.username))
        for way in self._ways:
            principal = await way.verify(basic, client)
            if principal is not None:
                return principal
        return await self._last.verify(basic, client)
