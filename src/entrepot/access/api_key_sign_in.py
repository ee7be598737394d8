"""Signing in with an API key: as the password of its account, or by itself as a Bearer token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.access.api_key_limits import limits_as_grants
from entrepot.access.api_key_uses import KeyUses
from entrepot.access.api_keys import hash_key, is_key
from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.policy import MAX_AGE, Policy
from entrepot.access.ttl_cache import Memory
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.people import api_keys

_log = logging.getLogger(__name__)
_LIMIT = 10_000
_NEVER = 2**63 - 1
#: What the end of an account means for its keys, which have another end or none.
_ENDED = {
    PrincipalKind.ROBOT: "the robot has expired; give it more days, or make another",
    PrincipalKind.USER: (
        "the account of this API key is closed: its sign-in provider or directory no longer vouches for it, or could "
        "not be asked for too long; sign in once in a browser, and the key works again"
    ),
}


@dataclass(frozen=True, slots=True)
class _Known:
    """Whose a key is, and the end of key and account (microseconds since the epoch)."""

    principal: Principal
    end: int
    told: str  #: what its holder is told after the end


class KeySignIn:
    """A `PartialVerifier` for keys.

    What the database said is remembered for a few seconds. Nobody can guess a key, so failures make nobody wait.
    """

    def __init__(
        self,
        database: Reader,
        policy: Policy,
        uses: KeyUses,
        *,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._policy = policy
        self._uses = uses
        self._known: Memory[str, _Known] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)

    async def verify(self, basic: Basic, client: str) -> Principal | None:
        """See `PartialVerifier`; the name must be the account's."""
        if not is_key(basic.password):
            return None
        principal = await self.by_key(basic.password, client)
        if principal.name != basic.username:
            raise _refused(f"an API key of {principal.label} was sent with another name", client)
        return principal

    async def by_key(self, key: str, client: str) -> Principal:
        """Return the account that a key speaks for.

        Raises:
            CredentialsRefused: There is no such key, it has expired, or its account is closed.
        """
        hashed = hash_key(key)
        known = self._known.find(hashed)
        if known is None or not await self._policy.is_current(known.principal):
            self._known.forget(hashed)
            known = await self._look_up(hashed, client)
            self._known.put(hashed, known)
        if clock.now() >= known.end:
            raise _refused(f"an API key of {known.principal.label}: {known.told}", client, known.told)
        assert known.principal.key is not None
        self._uses.note(known.principal.key)
        return known.principal

    async def _look_up(self, hashed: str, client: str) -> _Known:
        found = await api_keys.find_with_account(self._database, hashed)
        if found is None:
            raise _refused("unknown API key", client, "the API key is not valid: it was removed or never made")
        key, account = found
        if account.disabled:
            raise _refused(f"an API key of {account.kind}:{account.name}, which is disabled", client)
        principal = Principal(
            kind=PrincipalKind(account.kind),
            name=account.name,
            id=account.id,
            epoch=account.epoch,
            key=key.id,
            limits=limits_as_grants(key.limits),
        )
        end, own_end = account.expires_at or _NEVER, key.expires_at or _NEVER
        if own_end <= end:
            return _Known(principal, own_end, "the API key has expired")
        return _Known(principal, end, _ENDED[principal.kind])


def _refused(why: str, client: str, told: str | None = None) -> CredentialsRefused:
    """Log why, and return what the client is told: whoever holds a key may know what became of it."""
    _log.warning("sign-in failed: %a from %s", why, client or "a local socket")
    return CredentialsRefused(told)
