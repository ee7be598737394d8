"""Passwords, checked slowly and seldom.

The order of defence: what was right a moment ago costs nothing; what was wrong a moment ago is wrong still; who fails
too often is told to wait before anything is computed; and of the hashes that remain, one at a time runs, in a thread.
An unknown name costs the same time.

The same mistake again is no further guess, so it is not counted as one: a client that sends Basic with each of ten
requests, or a machine with an old password, does not make everybody wait who uses the account from there.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.access.credentials import Basic
from entrepot.access.errors import CredentialsRefused
from entrepot.access.memory import Memory
from entrepot.access.model import Principal
from entrepot.access.throttle import Throttle
from entrepot.oci.errors import TooManyRequests

_log = logging.getLogger(__name__)

#: Seconds for which a password that was right is not hashed again.
MEMORY = 60.0
#: Seconds for which one that was wrong is not, unless the account changes.
_WRONG_MEMORY = 900.0
_LIMIT = 10_000
#: Requests that may wait for their hash; more would wait for seconds.
_QUEUE = 32
#: Longer ones are wrong without a look.
_MAX_NAME = 255
_MAX_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """Who an account is, and what its password must match."""

    principal: Principal
    encoded: str = field(repr=False)


class PasswordStore(Protocol):
    """Where names and hashed passwords are kept."""

    async def find(self, name: str, *, fresh: bool = False) -> StoredPassword | None:
        """Return the account of that name, as it is now if `fresh` and else as it was a few seconds ago at most."""
        ...

    def matches(self, encoded: str | None, password: str) -> bool:
        """Compare, slowly; for None take as long and answer False. Called in a thread."""
        ...


#: Keeps a password that was right in a better form, where it is kept in an old one.
Renew = Callable[[StoredPassword, str], Awaitable[None]]


class GuardedPasswords:
    """A `PasswordVerifier` over a store."""

    def __init__(
        self,
        store: PasswordStore,
        throttle: Throttle,
        *,
        renew: Renew | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._throttle = throttle
        self._renew = renew
        self._key = secrets.token_bytes(32)
        self._right: Memory[bytes, str] = Memory(limit=_LIMIT, seconds=MEMORY, clock=clock)
        self._wrong: Memory[bytes, tuple[str | None]] = Memory(limit=_LIMIT, seconds=_WRONG_MEMORY, clock=clock)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        # A form may hold a name with a colon, Basic credentials may not; no account has one.
        if len(basic.username) > _MAX_NAME or len(basic.password) > _MAX_PASSWORD or ":" in basic.username:
            raise CredentialsRefused
        mark = self._mark(basic)
        stored = await self._store.find(basic.username)
        if stored is not None and self._right.find(mark) == stored.encoded:
            return stored.principal
        if not await self._was_wrong(basic, mark):
            await self._throttle.check(basic.username, client)
            stored = await self._in_turn(basic, mark, client)
            if stored is not None:
                await self._throttle.succeeded(basic.username, client)
                return stored.principal
        _log.warning("sign-in failed: account %a from %s", basic.username[:64], client or "a local socket")
        raise CredentialsRefused

    async def _was_wrong(self, basic: Basic, mark: bytes) -> bool:
        """Tell whether this was refused before, and the account has not changed since."""
        known = self._wrong.find(mark)
        if known is None:
            return False
        stored = await self._store.find(basic.username, fresh=True)
        return known == (_encoded(stored),)

    async def _in_turn(self, basic: Basic, mark: bytes, client: str) -> StoredPassword | None:
        """Wait for the one hash that runs at a time; meanwhile somebody may have tried the same password."""
        if self._waiting >= _QUEUE:
            raise TooManyRequests(1, "too many sign-ins at once; try again in a second")
        self._waiting += 1
        try:
            async with self._turn:
                stored = await self._store.find(basic.username, fresh=True)
                encoded = _encoded(stored)
                if encoded is not None and self._right.find(mark) == encoded:
                    return stored
                if self._wrong.find(mark) == (encoded,):
                    return None
                await self._throttle.check(basic.username, client)  # of many who came at once, some have failed since
                loop = asyncio.get_running_loop()
                right = await loop.run_in_executor(self._thread, self._store.matches, encoded, basic.password)
                if right and stored is not None and self._renew is not None:
                    await self._renew(stored, basic.password)
        finally:
            self._waiting -= 1
        if not right or encoded is None:
            self._wrong.put(mark, (encoded,))
            await self._throttle.failed(basic.username, client)
            return None
        self._right.put(mark, encoded)
        return stored

    def _mark(self, basic: Basic) -> bytes:
        """Name a pair of name and password without keeping it: a hash under a key that dies with the process."""
        return hmac.digest(self._key, f"{basic.username}\0{basic.password}".encode(), hashlib.sha256)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)


def _encoded(stored: StoredPassword | None) -> str | None:
    return None if stored is None else stored.encoded
