"""Refresh tokens: what a client keeps in place of the password (Docker token specification, "OAuth2").

They are handed out where `access.token.refresh` is set: many programs read a password out of Docker's configuration,
and few can do anything with a token. What was handed out before works until its end.

A token is random; the database has its hash only. It carries the epoch of its account in clear, covered by the hash,
so that a changed password or a disabled account ends it whatever else happens.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace
from functools import partial

from entrepot.access.api_key_limits import limits_as_grants
from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import CredentialsRefused, SecondFactorNeeded
from entrepot.access.model import Principal, PrincipalKind
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseFull, DatabaseUnavailable
from entrepot.metadata.people import api_keys, principals, refresh_tokens

LIFETIME = 30 * 24 * 3600
#: An account's tokens beyond this many go, oldest first: each `docker login` makes one.
_KEEP = 200
#: Using a token writes its new end down only once this part of its life is over: a write for each use is for nothing.
_PROLONG_AFTER = 1 / 30
_PREFIX = "ert"


class RefreshTokens:
    """Issues and redeems refresh tokens of local accounts."""

    def __init__(
        self,
        database: Database,
        authorizer: Authorizer | None = None,
        *,
        lifetime: float = LIFETIME,
        handed_out: bool = True,
    ) -> None:
        """Keep what to ask; `authorizer` tells who lacks a second factor, where one may be required."""
        self._database = database
        self._authorizer = authorizer
        self._lifetime = lifetime
        self._handed_out = handed_out

    async def issue(self, principal: Principal, service: str) -> str | None:
        """Make a token for the account; None for who has none, and for who signed in with what lives for minutes.

        None for everybody where no tokens are handed out.

        Raises:
            CredentialsRefused: The account was disabled or changed since it signed in.
        """
        if not self._handed_out or principal.id is None or principal.fleeting:
            return None
        account = principal.id
        token = f"{_PREFIX}_{principal.epoch}_{secrets.token_urlsafe(32)}"

        async def add(tx: Transaction) -> None:
            await self._current(tx, account, principal.epoch)
            await refresh_tokens.add(
                tx,
                _hash(token),
                principal_id=account,
                subject=principal.name,
                service=service,
                expires_at=clock.after(self._lifetime),
                keep=_KEEP,
                key_id=principal.key,
            )

        await self._database.write(add, name="refresh token issue")
        return token

    async def redeem(self, token: str, service: str) -> Principal:
        """Return the account that a token speaks for, limited as the key is that it was made with.

        A token that is used lives on, where tokens are handed out.

        Raises:
            CredentialsRefused: Unknown, expired, made for another service, or its account or key was disabled, changed
                or removed.
            SecondFactorNeeded: A second factor is required of the account since, and it has none.
        """
        record = await refresh_tokens.find(self._database, _hash(token))
        if record is None or record.service != service:
            raise CredentialsRefused("the refresh token is not valid; sign in again")
        principal = await self._current(self._database, record.principal_id, _epoch(token))
        if record.key_id is not None:
            principal = await self._limited(principal, record.key_id)
        elif self._authorizer is not None and await self._authorizer.is_unproven(principal):
            raise SecondFactorNeeded
        if self._handed_out:
            await self._prolong(token, record.expires_at)
        return principal

    async def _prolong(self, token: str, expires_at: int) -> None:
        until = clock.after(self._lifetime)
        if expires_at > clock.after(self._lifetime * (1 - _PROLONG_AFTER)):
            return
        prolong = partial(refresh_tokens.prolong, token_hash=_hash(token), expires_at=until)
        with suppress(
            DatabaseFull, DatabaseUnavailable
        ):  # the token is good all the same, and the next use tries again
            await self._database.write(prolong, name="refresh token prolong")

    async def _limited(self, principal: Principal, key_id: int) -> Principal:
        key = await api_keys.find_by_id(self._database, key_id)
        if key is None or (key.expires_at is not None and clock.now() >= key.expires_at):
            raise CredentialsRefused("the API key behind the refresh token was removed or has expired; sign in again")
        return replace(principal, key=key_id, limits=limits_as_grants(key.limits))

    async def _current(self, reader: Database | Transaction, account: int, epoch: int) -> Principal:
        found = await principals.find_by_id(reader, account)
        if found is None or found.disabled or found.epoch != epoch or _has_ended(found):
            raise CredentialsRefused("the account was disabled or changed; sign in again")
        return Principal(kind=PrincipalKind(found.kind), name=found.name, id=found.id, epoch=found.epoch)


def _has_ended(account: principals.PrincipalRecord) -> bool:
    return account.expires_at is not None and clock.now() >= account.expires_at


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _epoch(token: str) -> int:
    """Read the epoch from a token whose hash is known, so that it has the form we gave it."""
    return int(token.split("_", 2)[1])
