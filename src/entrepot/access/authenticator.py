"""Who is asking: from the Authorization header to a principal."""

from __future__ import annotations

from typing import Protocol

from entrepot.access.api_keys import is_key
from entrepot.access.errors import AccessRefused, CredentialsRefused
from entrepot.access.model import ANONYMOUS, Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic, Bearer, parse_authorization


class Authenticator(Protocol):
    """Turns the Authorization header of a request into a principal."""

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:
        """Return who is asking; without a header, the anonymous principal.

        Args:
            authorization: The header's value.
            client: Address of the client, for the limits on failures.
            grace: Seconds by which a token may have expired: for the requests that continue an upload which the
                same principal was allowed to open.

        Raises:
            CredentialsRefused: The header cannot be read, or name and password do not match.
            TokenRefused: The token is not valid, or its account was disabled or changed since.
            TooManyRequests: Too many failures from there or for that account.
        """
        ...


class PasswordVerifier(Protocol):
    """Knows whether a name and a password belong together."""

    async def verify(self, basic: Basic, client: str) -> Principal:
        """Return the principal of that name.

        Raises:
            CredentialsRefused: They do not match, or there is no such name; the two look the same.
            TooManyRequests: Too many failures from there or for that account.
        """
        ...


class TokenVerifier(Protocol):
    """Knows which tokens to believe."""

    async def verify(self, token: str, *, grace: float = 0) -> Principal:
        """Return the principal whom the token names, limited to what it says.

        Raises:
            TokenRefused: The token is not valid.
        """
        ...


class KeyVerifier(Protocol):
    """Knows whose an API key is."""

    async def by_key(self, key: str, client: str) -> Principal:
        """Return the account that a key speaks for.

        Raises:
            CredentialsRefused: There is no such key, it has expired, or its account is closed.
        """
        ...


class CredentialAuthenticator:
    """Believes passwords, tokens and keys, or some of these."""

    def __init__(
        self,
        *,
        passwords: PasswordVerifier | None = None,
        tokens: TokenVerifier | None = None,
        keys: KeyVerifier | None = None,
    ) -> None:
        self._passwords = passwords
        self._tokens = tokens
        self._keys = keys

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:
        """See `Authenticator`; a kind of credential that is not offered counts as a wrong one."""
        match parse_authorization(authorization):
            case None:
                return ANONYMOUS
            case Bearer(token) if self._keys is not None and is_key(token):
                return await self._keys.by_key(token, client)
            case Bearer(token) if self._tokens is not None:
                return await self._tokens.verify(token, grace=grace)
            case Basic() as basic if self._passwords is not None:
                return await self._passwords.verify(basic, client)
        raise CredentialsRefused("this registry does not take that kind of credentials")


class OpenAuthenticator:
    """Takes everybody as anonymous, whatever they send: registry:2 without `auth`."""

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:  # noqa: ARG002 - the port's signature
        """Return the anonymous principal."""
        return ANONYMOUS


class SillyAuthenticator:
    """Takes any Authorization header at its word: registry:2's `auth: silly`, for trying out clients."""

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:  # noqa: ARG002 - the port's signature
        """Return one and the same user for any header.

        Raises:
            AccessRefused: There is no header.
        """
        if not authorization:
            raise AccessRefused
        return Principal(kind=PrincipalKind.USER, name="silly")
