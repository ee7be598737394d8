"""Passwords that do not suffice alone: where a second factor is on, and where one is required."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.errors import OneTimeCodeNeeded, SecondFactorNeeded
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.second_factor.second_factors import SecondFactors

#: Tells whether a second factor is required of somebody.
RequiredOf = Callable[[Principal], Awaitable[bool]]


class SecondFactorPasswords:
    """A `PasswordVerifier` that asks whoever has turned it on for a code, too."""

    def __init__(
        self, verifier: PasswordVerifier, factors: SecondFactors, required_of: RequiredOf | None = None
    ) -> None:
        """Keep what to ask; `required_of` tells of whom a second factor is required."""
        self._verifier = verifier
        self._factors = factors
        self._required_of = required_of

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`; of whom a second factor is required and who has none is `unproven`.

        Raises:
            OneTimeCodeNeeded: The password is right, and there is no code.
        """
        principal = await self._verifier.verify(basic, client)
        # A key was made for programs, by somebody who had signed in; a token says itself what it is good for.
        if principal.key is not None or principal.scopes is not None or principal.kind is not PrincipalKind.USER:
            return principal
        if not await self._factors.is_on(principal):
            required = self._required_of is not None and await self._required_of(principal)
            return replace(principal, unproven=True) if required else principal
        if not basic.one_time:
            raise OneTimeCodeNeeded(principal)
        await self._factors.prove(principal, basic.one_time, client)
        return principal


class ProvenPasswords:
    """A `PasswordVerifier` for what outlives the sign-in, such as sessions and tokens: nobody `unproven` gets one."""

    def __init__(self, verifier: PasswordVerifier) -> None:
        self._verifier = verifier

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`.

        Raises:
            SecondFactorNeeded: The password is right, and the second factor that is required is not set up.
        """
        principal = await self._verifier.verify(basic, client)
        if principal.unproven:
            raise SecondFactorNeeded
        return principal
