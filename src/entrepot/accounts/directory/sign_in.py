"""Signing in with the password of a directory.

Local accounts are not looked at here, and the directory is not asked about them: they work whatever becomes of it. What
was right a moment ago is not asked again; what was wrong a moment ago is wrong still, so that a machine with an old
password does not lock its owner's account in the directory. While the directory is down or slow, what was right within
a stated time counts, as long as the account here is as it was then.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.ttl_cache import Memory
from entrepot.accounts.directory.model import (
    PROVIDER,
    Configured,
    DirectorySource,
    DirectoryUnavailable,
    NoDirectory,
)
from entrepot.accounts.directory.name_comparison import folded
from entrepot.accounts.directory.people import NotAdmitted, People
from entrepot.metadata import clock as wall_clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import directory_people, principals
from entrepot.oci.errors import Unavailable

_log = logging.getLogger(__name__)
_LIMIT = 10_000
#: Seconds for which a wrong password is not asked again.
_WRONG = 30.0
#: Seconds for which it is remembered what our own rows say.
_ROWS = 5.0
#: Seconds after which a client should try again when the directory is down.
_AGAIN = 10
#: Nothing is remembered for longer, whatever is configured.
LONGEST_OFFLINE = 24 * 3600.0
_MAX_NAME = 255
_MAX_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class _Right:
    """A password that was right, and when the directory said so."""

    principal: Principal
    at: float


@dataclass(frozen=True, slots=True)
class _Row:
    """Whose a name is here."""

    is_local: bool
    is_open: bool = True
    epoch: int = -1
    id: int = -1


class DirectoryPasswords:
    """A `PartialVerifier` for people of a directory."""

    def __init__(
        self,
        database: Database,
        source: DirectorySource,
        throttle: Throttle,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._source = source
        self._throttle = throttle
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: Memory[bytes, _Right] = Memory(limit=_LIMIT, seconds=LONGEST_OFFLINE, clock=clock)
        self._wrong: Memory[bytes, bool] = Memory(limit=_LIMIT, seconds=_WRONG, clock=clock)
        self._rows: Memory[str, _Row] = Memory(limit=_LIMIT, seconds=_ROWS, clock=clock)
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._turns: Memory[str, asyncio.Lock] = Memory(limit=_LIMIT, seconds=_WRONG, clock=clock)

    async def verify(self, basic: Basic, client: str) -> Principal | None:
        """See `PartialVerifier`; None for local accounts, people's and robots', and where there is no directory.

        Raises:
            CredentialsRefused: The password is wrong, or the person may not enter.
            TooManyRequests: Too many failures.
            Unavailable: The directory cannot be asked, and nothing is remembered that would count.
        """
        if not basic.password or len(basic.username) > _MAX_NAME or len(basic.password) > _MAX_PASSWORD:
            return None
        if ":" in basic.username:  # no account has one, and other failures are counted under names with one
            return None
        if basic.fresh:
            self._rows.forget(basic.username)
        row = await self._row(basic.username)
        configured = None if row is not None and row.is_local else await self._configured()
        if configured is None:
            return None
        mark = hmac.digest(self._key, f"{basic.username}\0{basic.password}".encode(), hashlib.sha256)
        known = await self._remembered(mark)
        if known is not None and self._clock() - known.at < configured.times.remember:
            return known.principal
        if self._wrong.find(mark):
            raise _refused(basic, client, "the same wrong password again")
        return await self._from_directory(configured, basic, client, mark, known)

    async def _configured(self) -> Configured | None:
        try:
            return await self._source.current()
        except NoDirectory as error:
            _log.error("no directory is asked", extra={"reason": str(error)})
            raise Unavailable(_AGAIN, "the directory's settings cannot be used; tell the registry's operator") from None

    async def _from_directory(
        self, configured: Configured, basic: Basic, client: str, mark: bytes, known: _Right | None
    ) -> Principal | None:
        try:
            principal = await self._asked(configured, basic, client, mark, wait=known is not None)
        except DirectoryUnavailable as error:
            if known is None or self._clock() - known.at >= configured.times.offline:
                _log.error(
                    "the directory cannot be asked", extra={"account": ascii(basic.username[:64]), "reason": str(error)}
                )
                raise Unavailable(
                    _AGAIN, "the directory that knows this account cannot be asked now; try again in a moment"
                ) from None
            _log.warning(
                "the directory cannot be asked; what it said before counts",
                extra={"account": known.principal.name, "seconds": round(self._clock() - known.at)},
            )
            return known.principal
        except NotAdmitted as error:
            raise _refused(basic, client, str(error)) from None
        if principal is None:
            raise _refused(basic, client, "wrong name or password in the directory")
        return principal

    async def _asked(
        self, configured: Configured, basic: Basic, client: str, mark: bytes, *, wait: bool
    ) -> Principal | None:
        """Ask the directory, once for all who ask the same; who has something to fall back on waits less."""
        task = self._asking.get(mark)
        if task is None:
            task = self._asking[mark] = asyncio.create_task(self._ask(configured, basic, client, mark))
            task.add_done_callback(lambda done: self._answered(mark, done))
        patience = configured.times.patience
        try:
            return await asyncio.wait_for(asyncio.shield(task), patience if wait else None)
        except TimeoutError:
            raise DirectoryUnavailable(f"it did not answer within {patience:g} s") from None

    async def _ask(self, configured: Configured, basic: Basic, client: str, mark: bytes) -> Principal | None:
        directory, counted = configured.directory, folded(basic.username)
        try:
            # One guess at a time for each account: directories lock accounts after a few.
            async with self._turn(counted):
                await self._throttle.check(counted, client)
                person = await directory.sign_in(basic.username, basic.password)
            people = People(self._database, directory)
            principal = None if person is None else await people.admit(person, address=client)
        except NotAdmitted:
            self._right.forget(mark)
            raise
        if principal is None:
            self._right.forget(mark)
            self._wrong.put(mark, value=True)
            await self._throttle.failed(counted, client)
            return None
        self._right.put(mark, _Right(principal, self._clock()))
        self._rows.forget(basic.username)
        await self._throttle.succeeded(counted, client)
        return principal

    def _turn(self, name: str) -> asyncio.Lock:
        lock = self._turns.find(name)
        if lock is None:
            lock = asyncio.Lock()
        self._turns.put(name, lock)
        return lock

    def _answered(self, mark: bytes, task: asyncio.Task[Principal | None]) -> None:
        self._asking.pop(mark, None)
        if not task.cancelled():
            task.exception()  # whoever waited may have gone on

    async def _remembered(self, mark: bytes) -> _Right | None:
        """Return what was right before, unless the account has been closed or changed since."""
        known = self._right.find(mark)
        if known is None:
            return None
        row = await self._row(known.principal.name)
        if row is None or not row.is_open or (row.id, row.epoch) != (known.principal.id, known.principal.epoch):
            self._right.forget(mark)
            return None
        return known

    async def _row(self, name: str) -> _Row | None:
        """Say whose a name is here; None for nobody's, which may be somebody's in the directory."""
        known = self._rows.find(name)
        if known is not None:
            return known
        row = await self._read_row(name)
        if row is not None:
            self._rows.put(name, row)
        return row

    async def _read_row(self, name: str) -> _Row | None:
        found = await directory_people.by_names(self._database, [name])
        if not found:
            robot = await principals.find(self._database, principals.ROBOT, name)
            return None if robot is None else _Row(is_local=True)
        account = found[0]
        ended = account.expires_at is not None and wall_clock.now() >= account.expires_at
        return _Row(account.provider != PROVIDER, not account.disabled and not ended, account.epoch, account.id)


def _refused(basic: Basic, client: str, why: str) -> CredentialsRefused:
    """Log why, and return what the client is told: nothing that tells names from each other."""
    _log.warning("sign-in failed: account %a from %s: %s", basic.username[:64], client or "a local socket", why)
    return CredentialsRefused()
