"""Sessions of browsers: a cookie in place of the password, ended by time, by its owner or by a changed account.

The cookie holds 256 random bits, and the database their hash. Every sign-in makes a new one, so that nobody can hand
somebody a cookie that later is signed in. Beside it each session has a token for requests that change something: a
page of another site can make a browser send the cookie, and cannot know the token.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from entrepot.access.durations import Span, always
from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, web_sessions
from entrepot.metadata.people.web_sessions import WebSessionRecord

_log = logging.getLogger(__name__)

#: Seconds after which a session ends that nobody used, and after which it ends in any case.
IDLE = 3600.0
ABSOLUTE = 12 * 3600.0
#: Seconds between two notes of its use.
_TOUCH = 60.0
#: Of an account's sessions, those beyond this many end, the longest unused first.
_KEEP = 100
#: What the names of sign-in providers begin with; all else is a password of ours or of a directory.
_PROVIDER = "oidc:"
_LONGEST_COOKIE = 64
_LONGEST_AGENT = 255
#: Characters of the hash that name a session to its owner.
_HANDLE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a browser is given at a sign-in, once."""

    cookie: str = field(repr=False)
    csrf: str = field(repr=False)
    expires_in: int  #: seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that counts, and who it speaks for."""

    principal: Principal
    csrf: str = field(repr=False)
    id: str  #: names the session to its owner; signs nobody in
    provider: str
    provider_session: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What the owner sees of a session."""

    id: str
    provider: str
    address: str
    agent: str
    created_at: int  #: microseconds since the epoch, as the next
    seen_at: int
    current: bool  #: whether it is the one that asks


class Sessions:
    """Opens, checks and ends sessions."""

    def __init__(
        self,
        metadata: Database,
        work: Database,
        *,
        idle: Span | None = None,
        absolute: float = ABSOLUTE,
        now: Callable[[], int] = clock.now,
    ) -> None:
        self._metadata = metadata
        self._work = work
        self._idle_span = idle or always(IDLE)
        self._absolute = int(absolute * clock.MICROSECONDS)
        self._now = now

    async def open(
        self, principal: Principal, *, provider: str, address: str, agent: str, provider_session: str | None = None
    ) -> NewSession:
        """Open a session for somebody who has just proven who they are.

        Args:
            principal: Who signed in, with the epoch of the account.
            provider: What said so: `local`, `ldap` or `oidc:NAME`.
            address: Of the client, for the owner's list.
            agent: What the browser calls itself, for the same.
            provider_session: The provider's name for its session, by which it is ended there when ours is.

        Raises:
            CredentialsRefused: The principal has no account here, or it was closed or changed since.
        """
        if principal.id is None or await self._account(principal.id, principal.epoch) is None:
            raise CredentialsRefused("the account was disabled or changed; sign in again")
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        now = self._now()
        record = WebSessionRecord(
            hash=_hash(cookie),
            principal_id=principal.id,
            epoch=principal.epoch,
            csrf=csrf,
            provider=provider,
            provider_session=provider_session,
            address=address,
            agent=agent[:_LONGEST_AGENT],
            created_at=now,
            seen_at=now,
        )
        await self._add(record)
        return NewSession(cookie=cookie, csrf=csrf, expires_in=self._absolute // clock.MICROSECONDS)

    async def authenticate(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None when there is none, or it has ended."""
        if not 0 < len(cookie) <= _LONGEST_COOKIE:
            return None
        record = await web_sessions.find(self._work, _hash(cookie))
        if record is None:
            return None
        principal = await self._account(record.principal_id, record.epoch) if self._counts(record) else None
        if principal is None:
            await self._quietly(lambda tx: web_sessions.remove(tx, record.hash))
            return None
        await self._touch(record)
        return Session(
            principal=replace(principal, vouched=record.provider.startswith(_PROVIDER)),
            csrf=record.csrf,
            id=record.hash[:_HANDLE],
            provider=record.provider,
            provider_session=record.provider_session,
        )

    async def renew(self, cookie: str) -> NewSession | None:
        """Give a session a new cookie and token, and the epoch that its account has now; None when it does not count.

        For the one session that must go on when its owner changes what ends all of them, and whenever what a session
        may do grows.
        """
        record = await web_sessions.find(self._work, _hash(cookie))
        if record is None or not self._counts(record):
            return None
        account = await principals.find_by_id(self._metadata, record.principal_id)
        if account is None or account.disabled:
            return None
        new, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        after = replace(record, hash=_hash(new), csrf=csrf, epoch=account.epoch, seen_at=self._now())
        await self._add(after, instead_of=record.hash)
        left = record.created_at + self._absolute - self._now()
        return NewSession(cookie=new, csrf=csrf, expires_in=left // clock.MICROSECONDS)

    async def close(self, cookie: str, by: Source) -> Session | None:
        """End the session of a cookie; return what it was, unless it had ended already. `by` may leave out the name."""
        session = await self.authenticate(cookie)
        if session is None:
            return None
        await self._work.write(lambda tx: web_sessions.remove(tx, _hash(cookie)), name="end session")
        name = session.principal.name
        await self._record(name, session.id, replace(by, name=by.name or name))
        return session

    async def list(self, principal: Principal, *, current: str = "") -> Sequence[SessionInfo]:
        """Return the account's sessions that count, newest first.

        Args:
            principal: Whose.
            current: The `id` of the session that asks.
        """
        return [
            SessionInfo(
                id=record.hash[:_HANDLE],
                provider=record.provider,
                address=record.address,
                agent=record.agent,
                created_at=record.created_at,
                seen_at=record.seen_at,
                current=record.hash[:_HANDLE] == current,
            )
            for record in await self._of(principal)
        ]

    async def revoke(self, principal: Principal, session_id: str, by: Source) -> bool:
        """End one of the account's own sessions; False when it has none of that id."""
        hashed = await self._named(principal, session_id)
        if not hashed:
            return False
        await self._work.write(lambda tx: web_sessions.remove(tx, hashed), name="end session")
        await self._record(principal.name, session_id, by)
        return True

    async def revoke_others(self, principal: Principal, session_id: str, by: Source) -> int:
        """End all sessions of the account but one, or all of them where `session_id` is empty; return how many."""
        kept = await self._named(principal, session_id)
        owner = principal.id
        assert owner is not None  # sessions belong to accounts
        ended = await self._work.write(lambda tx: web_sessions.remove_others(tx, owner, kept), name="end sessions")
        if ended:
            await self._record(principal.name, "all others" if kept else "all", by)
        return ended

    async def _add(self, record: WebSessionRecord, *, instead_of: str = "") -> None:
        idle_since = self._now() - self._idle()

        async def add(tx: Transaction) -> None:
            if instead_of:
                await web_sessions.remove(tx, instead_of)
            await web_sessions.add(tx, record, keep=_KEEP, idle_since=idle_since)

        await self._work.write(add, name="open session")

    def _counts(self, record: WebSessionRecord) -> bool:
        now = self._now()
        return now < record.seen_at + self._idle() and now < record.created_at + self._absolute

    def _idle(self) -> int:
        return int(self._idle_span() * clock.MICROSECONDS)

    async def _account(self, principal_id: int, epoch: int) -> Principal | None:
        """Return the account, if credentials of this epoch still count."""
        found = await principals.find_by_id(self._metadata, principal_id)
        if found is None or found.disabled or found.epoch != epoch or found.kind != principals.USER:
            return None
        if found.expires_at is not None and self._now() >= found.expires_at:
            return None
        return Principal(kind=PrincipalKind.USER, name=found.name, id=found.id, epoch=found.epoch)

    async def _of(self, principal: Principal) -> Sequence[WebSessionRecord]:
        if principal.id is None:
            return []
        now = self._now()
        records = await web_sessions.of_principal(
            self._work, principal.id, seen_after=now - self._idle(), created_after=now - self._absolute
        )
        return [record for record in records if record.epoch == principal.epoch]

    async def _named(self, principal: Principal, session_id: str) -> str:
        """Return the hash of one of the account's sessions; empty when there is none of that id."""
        return next((r.hash for r in await self._of(principal) if r.hash[:_HANDLE] == session_id), "")

    async def _touch(self, record: WebSessionRecord) -> None:
        now = self._now()
        if now - record.seen_at >= _TOUCH * clock.MICROSECONDS:
            await self._quietly(lambda tx: web_sessions.touch(tx, record.hash, now))

    async def _quietly(self, work: Callable[[Transaction], Awaitable[object]]) -> None:
        """Write what may be lost: a full disk ends no session."""
        try:
            await self._work.write(work, name="session")
        except DatabaseError:
            _log.warning("the use of a session could not be noted", exc_info=True)

    async def _record(self, name: str, session_id: str, by: Source) -> None:
        async def add(tx: Transaction) -> None:
            await events.add(tx, events.SIGN_OUT, by=by, subject=f"user:{name}", detail={"session": session_id})

        await self._metadata.write(add, name="sign-out")


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()
