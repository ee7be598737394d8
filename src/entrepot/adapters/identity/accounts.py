"""Local accounts, people's and robots': names and Argon2id hashes in the metadata database.

Accounts that were imported from an htpasswd file begin with its bcrypt hash, until they sign in.
"""

from __future__ import annotations

import asyncio
import logging
import time
import unicodedata
from collections.abc import Callable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords import htpasswd_entries
from entrepot.access.passwords.guarded_passwords import StoredPassword
from entrepot.access.policy import MAX_AGE
from entrepot.access.ttl_cache import Memory
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.people import principals

_log = logging.getLogger(__name__)

#: 19 MiB, two passes, one lane: 35 ms on a small machine (OWASP's second choice).
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1
_LIMIT = 10_000


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)


@cache
def _nobody() -> str:
    """Hash a password that nobody has, to spend on unknown names the time that known ones take."""
    return _hasher().hash("nobody")


def hash_password(password: str) -> str:
    """Hash a password for keeping, in its composed form (NFC); takes about 35 ms, so call it in a thread."""
    return _hasher().hash(unicodedata.normalize("NFC", password))


class LocalAccounts:
    """A `PasswordStore` over the table of principals.

    An account is remembered for as long as the database proves that nothing was committed since: whoever was told that
    a password is changed, or an account disabled, finds it so on every worker and replica. An ended account's time is
    looked at again after some seconds.
    """

    def __init__(
        self, database: Database, *, max_age: float = MAX_AGE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._known: Memory[str, tuple[bytes, StoredPassword]] = Memory(limit=_LIMIT, seconds=max_age, clock=clock)

    async def find(self, name: str, *, fresh: bool = False) -> StoredPassword | None:
        """See `PasswordStore`; a disabled account is found no more than one that never was."""
        moment = self._database.moment()  # taken before the question: what was committed since is not remembered as old
        known = None if fresh else self._known.find(name)
        if known is not None and known[0] == moment:
            return known[1]
        record = await principals.find(self._database, principals.USER, name)
        if record is None:
            record = await principals.find(self._database, principals.ROBOT, name)
        if record is None or record.secret is None or record.disabled or _has_ended(record):
            self._known.forget(name)
            return None
        principal = Principal(kind=PrincipalKind(record.kind), name=record.name, id=record.id, epoch=record.epoch)
        stored = StoredPassword(principal, record.secret)
        if moment is not None:
            self._known.put(name, (moment, stored))
        return stored

    def matches(self, encoded: str | None, password: str) -> bool:
        """See `PasswordStore`."""
        if encoded is not None and htpasswd_entries.is_bcrypt(encoded):
            # What others hashed is compared as it was sent. Most such hashes are made faster than ours: an unknown name
            # must not be told by the time it takes.
            return htpasswd_entries.matches(encoded, password) or _is(_nobody(), password, really=False)
        return _is(encoded or _nobody(), password, really=encoded is not None)


class PasswordRenewal:
    """Keeps a password by our own hash, once somebody has signed in with one that was kept otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, stored: StoredPassword, password: str) -> None:
        """Hash the password anew if it needs to be; sessions and tokens of the account stay."""
        account = stored.principal.id
        if account is None or not _is_outdated(stored.encoded):
            return
        new = await asyncio.to_thread(hash_password, password)
        try:
            await self._database.write(
                lambda tx: principals.renew_secret(tx, account, old=stored.encoded, new=new), name="renew hash"
            )
        except DatabaseError:
            _log.warning("the password of %a is still kept by its old hash", stored.principal.name, exc_info=True)


def _is(encoded: str, password: str, *, really: bool) -> bool:
    try:
        _hasher().verify(encoded, unicodedata.normalize("NFC", password))
    except (VerificationError, InvalidHashError):
        return False
    return really


def _is_outdated(encoded: str) -> bool:
    try:
        return htpasswd_entries.is_bcrypt(encoded) or _hasher().check_needs_rehash(encoded)
    except InvalidHashError:
        return False


def _has_ended(record: principals.PrincipalRecord) -> bool:
    return record.expires_at is not None and clock.now() >= record.expires_at
