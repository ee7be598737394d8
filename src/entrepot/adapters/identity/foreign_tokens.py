"""Tokens that another service issues: registry:2's and registry:3's `auth.token`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from entrepot.access.errors import SetupError, TokenRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.tokens.jwt import (
    ALGORITHMS,
    Claims,
    Key,
    algorithms_for,
    check_lifetime,
    has_audience,
    read_header,
    scopes_of,
    text,
    verified_claims,
)
from entrepot.access.tokens.own_tokens import VerifiedToken
from entrepot.adapters.identity.certificate_chain import verified_leaf
from entrepot.adapters.identity.key_ids import as_key
from entrepot.adapters.identity.trusted_keys import TrustedKeys
from entrepot.metadata.clock import seconds as clock_seconds

#: For clocks that do not agree, as in registry:2.
LEEWAY = 60.0


class ForeignTokens:
    """A `TokenChecker` for one issuer's tokens."""

    def __init__(
        self,
        keys: TrustedKeys,
        *,
        issuer: str,
        service: str,
        algorithms: Sequence[str] = (),
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        """Keep what to believe.

        Raises:
            SetupError: One of `algorithms` is not supported.
        """
        unknown = set(algorithms).difference(ALGORITHMS)
        if unknown:
            raise SetupError(
                f"auth.token.signingalgorithms: {', '.join(sorted(unknown))} cannot be used; "
                f"choose from {', '.join(ALGORITHMS)}"
            )
        self._keys = keys
        self._issuer = issuer
        self._service = service
        self._algorithms = frozenset(algorithms or ALGORITHMS)
        self._clock = clock

    def check(self, token: str, *, grace: float = 0) -> VerifiedToken:
        """See `TokenChecker`."""
        header = read_header(token)
        key = self._signing_key(header)
        claims = verified_claims(token, key, self._algorithms.intersection(algorithms_for(key)))
        self._check_parties(claims)
        expires = check_lifetime(claims, now=self._clock(), leeway=LEEWAY, grace=grace)
        principal = Principal(kind=PrincipalKind.TOKEN, name=text(claims, "sub"), scopes=scopes_of(claims))
        return VerifiedToken(principal, expires + LEEWAY)

    def _signing_key(self, header: Claims) -> Key:
        """Find the key that must have signed: by a chain that ends in the bundle, or by its id."""
        if "x5c" in header:
            leaf = verified_leaf(header["x5c"], self._keys.roots, now=self._clock())
            try:
                return as_key(leaf)
            except ValueError as error:
                raise TokenRefused(str(error)) from error
        key = self._keys.by_id.get(str(header.get("kid", "")))
        if key is None:
            raise TokenRefused("the token was signed with a key that this registry does not know")
        return key

    def _check_parties(self, claims: Claims) -> None:
        if claims.get("iss") != self._issuer:
            raise TokenRefused("the token comes from an issuer that this registry does not know")
        if not has_audience(claims, self._service):
            raise TokenRefused("the token is meant for another service")
