"""What became of passwords a moment ago, known to all workers of one `serve`: one slow hash is enough for all of them.

A pair of name and password is named by a hash under a key that lies in memory alone and dies with `serve`, so neither
the memory of a process nor the database holds anything that helps to guess a password.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entrepot.access.passwords.credentials import Basic
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.people import password_cache
from entrepot.metadata.people.password_cache import VerdictRecord
from entrepot.vault.private_file import create_once

_log = logging.getLogger(__name__)
_KEY_BYTES = 32
_KEY = "password-key"
_LOCK = "password-lock"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right for an account as `state` names it, and for how many more seconds that counts."""

    right: bool
    state: str
    seconds: float


class Verdicts(Protocol):
    """Where they are kept."""

    def mark(self, basic: Basic) -> str:
        """Name a pair of name and password without keeping it."""
        ...

    def state(self, encoded: str | None) -> str:
        """Name the stored password of an account, or that there is no account, likewise."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until nobody else hashes."""
        ...

    async def find(self, mark: str) -> Verdict | None:
        """Return what somebody else found out, if that still counts."""
        ...

    async def keep(self, mark: str, verdict: Verdict) -> None:
        """Tell it to the others."""
        ...


class Keyed:
    """Names things by hashes under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mark(self, basic: Basic) -> str:
        """See `Verdicts`."""
        return self._name(f"{basic.username}\0{basic.password}")

    def state(self, encoded: str | None) -> str:
        """See `Verdicts`."""
        return "" if encoded is None else self._name(encoded)

    def _name(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()


class NoVerdicts(Keyed):
    """For a process that shares with nobody."""

    def __init__(self) -> None:
        super().__init__(secrets.token_bytes(_KEY_BYTES))

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `Verdicts`; whoever asks takes turns within the process."""
        return nullcontext()

    async def find(self, mark: str) -> Verdict | None:  # noqa: ARG002 - the port's signature
        """See `Verdicts`."""
        return None

    async def keep(self, mark: str, verdict: Verdict) -> None:
        """See `Verdicts`."""


class SharedVerdicts(Keyed):
    """For the workers of one `serve`. While the database cannot be used each hashes for itself."""

    def __init__(self, work: Database, folder: Path, *, now: Callable[[], int] = clock.now) -> None:
        """Take part.

        Args:
            work: Where the verdicts are.
            folder: A private folder in memory that the workers share, for the key and the lock.
            now: Microseconds since the epoch.
        """
        create_once(folder / _KEY, lambda: secrets.token_bytes(_KEY_BYTES))
        super().__init__((folder / _KEY).read_bytes())
        self._work = work
        self._lock = folder / _LOCK
        self._now = now

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """See `Verdicts`; of all workers one hashes at a time."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._take))
        try:
            held = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_give_back)
            raise
        try:
            yield
        finally:
            os.close(held)

    async def find(self, mark: str) -> Verdict | None:
        """See `Verdicts`."""
        now = self._now()
        try:
            found = await password_cache.find(self._work, mark, now=now)
        except DatabaseError:
            _log.warning("what other workers know of passwords cannot be read", exc_info=True)
            return None
        return None if found is None else Verdict(found.right, found.state, (found.expires_at - now) / 1e6)

    async def keep(self, mark: str, verdict: Verdict) -> None:
        """See `Verdicts`."""
        now = self._now()
        record = VerdictRecord(verdict.right, verdict.state, now + int(verdict.seconds * clock.MICROSECONDS))
        try:
            await self._work.write(lambda tx: password_cache.put(tx, mark, record, now=now), name="password verdict")
        except DatabaseError:
            _log.warning("what became of a password could not be told to other workers", exc_info=True)

    def _take(self) -> int:
        """Open the lock anew each time: whoever gave up waiting must not let go what the next one holds."""
        held = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        return held


def _give_back(taking: asyncio.Future[int]) -> None:
    if not taking.cancelled() and taking.exception() is None:
        os.close(taking.result())
