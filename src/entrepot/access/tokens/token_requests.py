"""The token endpoint's use cases.

Who asks is proven by what signs in elsewhere too, by a refresh token, or by nothing for the public.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.access.authenticator import Authenticator, PasswordVerifier
from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.tokens.own_tokens import IssuedToken, TokenService
from entrepot.oci.scope import Scope

#: Resources that a token may name for somebody who has not signed in: clients ask for one or two.
ANONYMOUS_SCOPES = 20
#: Seconds that a token lives which a CI job got for its own: as long as a build takes.
EXCHANGE_LIFETIME = 900
#: Harbor's name for itself as a service: scripts written for it send that.
_HARBOR = "harbor-registry"


class ServiceUnknown(Exception):
    """The token was asked for another service than this registry."""


class TooManyScopes(Exception):
    """The token was asked for more scopes than somebody who has not signed in may name at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the endpoint hands out."""

    token: IssuedToken
    refresh_token: str | None = field(default=None, repr=False)


class OutsideTokens(Protocol):
    """Knows which robot an outside token speaks for."""

    async def exchange(self, name: str, token: str, client: str) -> Principal:
        """Return the robot of this name, if it trusts the token.

        Raises:
            CredentialsRefused: It does not, or there is none.
            Unavailable: The token's issuer cannot be asked for its keys.
        """
        ...


class LongTokens(Protocol):
    """Keeps what `docker login` stores: tokens that get others, for as long as their account stays as it is."""

    async def issue(self, principal: Principal, service: str) -> str | None:
        """Make one; see `RefreshTokens.issue`."""
        ...

    async def redeem(self, token: str, service: str, client: str) -> Principal:
        """Return the account that one speaks for to a client; see `RefreshTokens.redeem`."""
        ...


class TokenDesk:
    """Gives out tokens for this registry."""

    def __init__(
        self,
        authenticator: Authenticator,
        passwords: PasswordVerifier,
        tokens: TokenService,
        refresh: LongTokens,
        outside: OutsideTokens,
        *,
        exchange_lifetime: int = EXCHANGE_LIFETIME,
    ) -> None:
        self._authenticator = authenticator
        self._passwords = passwords
        self._tokens = tokens
        self._refresh = refresh
        self._outside = outside
        self._exchange_lifetime = exchange_lifetime

    async def by_header(
        self, authorization: str | None, client: str, *, service: str, scopes: Sequence[Scope], offline: bool
    ) -> Answer:
        """Answer a GET: with the credentials of the header, or anonymously without one.

        Raises:
            CredentialsRefused: Wrong name, password or key.
            TokenRefused: A token, which cannot ask for more tokens, unless it stands for its account.
            TooManyRequests: Too many failures.
            ServiceUnknown: The token is meant for another registry.
            TooManyScopes: Nobody has signed in, and there are more than `ANONYMOUS_SCOPES`.
        """
        self._check_service(service)
        principal = await self._authenticator.authenticate(authorization, client)
        if principal.is_anonymous and len(scopes) > ANONYMOUS_SCOPES:
            raise TooManyScopes
        if principal.scopes is not None:
            raise CredentialsRefused("a token cannot ask for a token; send name and password")
        return await self._answer(principal, scopes, offline=offline)

    async def by_password(
        self, basic: Basic, client: str, *, service: str, scopes: Sequence[Scope], offline: bool
    ) -> Answer:
        """Answer a POST with `grant_type=password`; raises what `by_header` does."""
        self._check_service(service)
        return await self._answer(await self._passwords.verify(basic, client), scopes, offline=offline)

    async def by_refresh_token(self, token: str, client: str, *, service: str, scopes: Sequence[Scope]) -> Answer:
        """Answer a POST with `grant_type=refresh_token`; the refresh token stays valid.

        Raises:
            CredentialsRefused: The refresh token is not valid, or its account was disabled or changed.
            ServiceUnknown: The token is meant for another registry.
        """
        self._check_service(service)
        principal = await self._refresh.redeem(token, self._tokens.service, client)
        return Answer(token=await self._tokens.issue(principal, scopes), refresh_token=token)

    async def by_outside_token(
        self, robot: str, token: str, client: str, *, service: str, scopes: Sequence[Scope]
    ) -> Answer:
        """Answer an exchange of an outside token: for scopes, or without any for all that the robot may.

        Raises:
            CredentialsRefused: The token does not speak for the robot.
            Unavailable: Its issuer cannot be asked for its keys.
            ServiceUnknown: The token is meant for another registry.
        """
        self._check_service(service)
        principal = await self._outside.exchange(robot, token, client)
        if not scopes:
            return Answer(token=self._tokens.issue_whole(principal, self._exchange_lifetime))
        return await self._answer(principal, scopes)

    async def _answer(self, principal: Principal, scopes: Sequence[Scope], *, offline: bool = False) -> Answer:
        refresh = await self._refresh.issue(principal, self._tokens.service) if offline else None
        return Answer(token=await self._tokens.issue(principal, scopes), refresh_token=refresh)

    def _check_service(self, service: str) -> None:
        if service not in ("", self._tokens.service, _HARBOR):
            raise ServiceUnknown
