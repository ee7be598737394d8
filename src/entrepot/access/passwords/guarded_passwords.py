"""Passwords, checked slowly and seldom.

The order of defence: what was right a moment ago costs nothing; what was wrong a moment ago is wrong still; who fails
too often is told to wait before anything is computed; and of the hashes that remain, one at a time runs, in a thread,
fair by network (`hash_queue`). All workers of a `serve` share what was found out, and take turns. An unknown name costs
the same time.

The same mistake again is no further guess, so it is not counted as one: a client that sends Basic with each of ten
requests, or a machine with an old password, does not make everybody wait who uses the account from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.hash_queue import HashQueue
from entrepot.access.passwords.password_cache import NoVerdicts, Verdict, Verdicts
from entrepot.access.passwords.throttle import Known, Throttle
from entrepot.access.ttl_cache import Memory

_log = logging.getLogger(__name__)

#: Seconds for which a password that was right is not hashed again.
MEMORY = 60.0
#: Seconds for which one that was wrong is not, unless the account changes.
_WRONG_MEMORY = 900.0
_LIMIT = 10_000
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
        """Return the account of that name as it is now; without `fresh` its end may be missed by a few seconds."""
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
        verdicts: Verdicts | None = None,
        renew: Renew | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._throttle = throttle
        self._verdicts = verdicts or NoVerdicts()
        self._renew = renew
        self._right: Memory[str, str] = Memory(limit=_LIMIT, seconds=MEMORY, clock=clock)
        self._wrong: Memory[str, tuple[str | None]] = Memory(limit=_LIMIT, seconds=_WRONG_MEMORY, clock=clock)
        self._queue = HashQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        # A form may hold a name with a colon, Basic credentials may not; no account has one.
        if len(basic.username) > _MAX_NAME or len(basic.password) > _MAX_PASSWORD or ":" in basic.username:
            raise CredentialsRefused
        mark = self._verdicts.mark(basic)
        stored = await self._store.find(basic.username, fresh=basic.fresh)
        if stored is not None and self._right.find(mark) == stored.encoded:
            return stored.principal
        stored, known = await self._known(basic, mark)
        if known is None:
            known_there = await self._throttle.check(basic.username, client)
            stored, known = await self._in_turn(basic, mark, client, known_there)
            if known:
                await self._throttle.succeeded(basic.username, client)
        if known and stored is not None:
            return stored.principal
        _log.warning("sign-in failed: account %a from %s", basic.username[:64], client or "a local socket")
        raise CredentialsRefused

    async def _known(self, basic: Basic, mark: str) -> tuple[StoredPassword | None, bool | None]:
        """Return the account as it is now, and what was found out about the password before, here or elsewhere."""
        stored = await self._store.find(basic.username, fresh=True)
        encoded = _encoded(stored)
        if encoded is not None and self._right.find(mark) == encoded:
            return stored, True
        if self._wrong.find(mark) == (encoded,):
            return stored, False
        told = await self._verdicts.find(mark)
        if told is None or told.state != self._verdicts.state(encoded):
            return stored, None
        self._remember(mark, encoded, right=told.right, seconds=told.seconds)
        return stored, told.right

    async def _in_turn(
        self, basic: Basic, mark: str, client: str, known_there: Known
    ) -> tuple[StoredPassword | None, bool]:
        """Wait for the one hash that runs at a time; meanwhile somebody may have tried the same password."""
        async with self._queue.turn(client, known_there), self._verdicts.turn():
            stored, known = await self._known(basic, mark)
            if known is not None:
                return stored, known
            await self._throttle.check(basic.username, client)  # of many who came at once, some have failed since
            right = await self._hashed(basic, mark, stored)
            if not right:
                await self._throttle.failed(basic.username, client)
            return stored, right

    async def _hashed(self, basic: Basic, mark: str, stored: StoredPassword | None) -> bool:
        """Compare in the thread, and let everybody know what came of it."""
        encoded = _encoded(stored)
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._thread, self._store.matches, encoded, basic.password)
        right = matches and stored is not None
        if right and stored is not None and self._renew is not None:
            await self._renew(stored, basic.password)
        seconds = MEMORY if right else _WRONG_MEMORY
        self._remember(mark, encoded, right=right, seconds=seconds)
        await self._verdicts.keep(mark, Verdict(right, self._verdicts.state(encoded), seconds))
        return right

    def _remember(self, mark: str, encoded: str | None, *, right: bool, seconds: float) -> None:
        if right and encoded is not None:
            self._right.put(mark, encoded, seconds=seconds)
        else:
            self._wrong.put(mark, (encoded,), seconds=seconds)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)


def _encoded(stored: StoredPassword | None) -> str | None:
    return None if stored is None else stored.encoded
