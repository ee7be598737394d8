"""Tokens of ours that stand for their whole account, sent as its password: what a CI job got for its own token."""

from __future__ import annotations

from entrepot.access.authenticator import TokenVerifier
from entrepot.access.errors import CredentialsRefused, TokenRefused
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.tokens.jwt import looks_like_token
from entrepot.access.tokens.own_tokens import OwnTokenChecker


class WholeTokenSignIn:
    """A `PartialVerifier` for them; tokens for some repositories only are no passwords."""

    def __init__(self, checker: OwnTokenChecker, tokens: TokenVerifier) -> None:
        self._checker = checker
        self._tokens = tokens

    async def verify(self, basic: Basic, client: str) -> Principal | None:  # noqa: ARG002 - the port's signature
        """See `PartialVerifier`; the name must be the account's."""
        if not looks_like_token(basic.password) or not self._checker.is_own(basic.password):
            return None
        try:
            principal = await self._tokens.verify(basic.password)
        except TokenRefused as refused:
            raise CredentialsRefused(refused.message) from None
        if principal.scopes is not None or principal.name != basic.username:
            raise CredentialsRefused
        return principal
