"""Sign-ins in the audit log, without a write for each.

Every failure is an event. Of the successes the first of a credential from an address is one, and those that follow
within ten minutes are counted and written as one more when the time is over: a client that sends its password with each
of a thousand requests leaves two rows. Rows are written together, a moment after what they tell of.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.access.authenticator import KeyVerifier, PasswordVerifier
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.second_factor.security_key_answers import Assertion, RelyingParty
from entrepot.access.second_factor.security_key_sign_in import Assertions, Question
from entrepot.access.tokens.refresh import RefreshTokens
from entrepot.access.tokens.token_requests import OutsideTokens
from entrepot.audit.event_batches import Noted, NotedEvents
from entrepot.metadata import events
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.oci.errors import RegistryError

#: Seconds within which sign-ins of one credential from one address are counted together.
WINDOW = 600.0
_MOST_OPEN = 50_000
_REFRESH = "refresh token"
_SECURITY_KEY = "security key"
#: Whatever somebody sends as a name, no more of it is kept.
_LONGEST_NAME = 255


@dataclass(slots=True)
class _Window:
    by: Source
    subject: str
    ends: float
    more: int = 0


class SignInLog:
    """Takes note of sign-ins; `run` writes them."""

    def __init__(self, metadata: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted = NotedEvents(metadata, lost=_row(Source(name=""), "", events.FAILURE, {"reason": "too many"}))
        self._open: dict[tuple[str, str, str], _Window] = {}

    def succeeded(self, by: Source, subject: str = "") -> None:
        """Note that somebody signed in; `subject` says whose account it is, where it is no person's."""
        key = (by.name, by.credential, by.address)
        window = self._open.get(key)
        if window is not None and self._clock() < window.ends:
            window.more += 1
            return
        if window is not None:
            self._close(window)
        if len(self._open) >= _MOST_OPEN:
            self._close(self._open.pop(next(iter(self._open))))
        self._open[key] = _Window(by, subject, self._clock() + WINDOW)
        self._noted.add(_row(by, subject, events.SUCCESS))

    def failed(self, by: Source, reason: str) -> None:
        """Note that somebody tried to sign in and could not."""
        self._noted.add(_row(by, "", events.FAILURE, {"reason": reason}))

    async def of(
        self, name: str, client: str, kind: str, signing_in: Awaitable[Principal], *, credential: str = ""
    ) -> Principal:
        """Return who a credential signs in, and note what came of it.

        Args:
            name: The name that was given with it, if any.
            client: Address of the client.
            kind: What kind of credential it is, should it be refused.
            signing_in: Finds out.
            credential: What to call it where the principal does not say.
        """
        try:
            principal = await signing_in
        except RegistryError as refused:
            self.failed(Source(name=name[:_LONGEST_NAME], address=client, credential=kind), refused.message)
            raise
        called = principal.credential if principal.key is not None else credential or principal.credential
        by = Source(name=principal.name, address=client, credential=called)
        self.succeeded(by, principal.label)
        return principal

    async def run(self) -> None:
        """Write what was noted, every second, until cancelled; then the rest, the counts of open windows included."""
        await self._noted.run(lambda last: self._close_windows(every=last))

    async def flush(self) -> None:
        """Write what was noted, and the counts whose time is over, in one transaction."""
        self._close_windows(every=False)
        await self._noted.flush()

    def _close_windows(self, *, every: bool) -> None:
        now = self._clock()
        for key in [key for key, window in self._open.items() if every or window.ends <= now]:
            self._close(self._open.pop(key))

    def _close(self, window: _Window) -> None:
        if window.more:
            self._noted.add(
                _row(window.by, window.subject, events.SUCCESS, {"within_seconds": int(WINDOW)}, window.more)
            )


class RecordedPasswords:
    """A `PasswordVerifier` that takes note of what another one says."""

    def __init__(self, verifier: PasswordVerifier, log: SignInLog) -> None:
        self._verifier = verifier
        self._log = log

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        return await self._log.of(basic.username, client, "password", self._verifier.verify(basic, client))


class RecordedKeys:
    """A `KeyVerifier`, likewise."""

    def __init__(self, verifier: KeyVerifier, log: SignInLog) -> None:
        self._verifier = verifier
        self._log = log

    async def by_key(self, key: str, client: str) -> Principal:
        """See `KeyVerifier`."""
        return await self._log.of("", client, "key", self._verifier.by_key(key, client))


class RecordedAssertions:
    """Signing in with a security key, likewise; what a browser sends that nobody was asked is nobody's."""

    def __init__(self, assertions: Assertions, log: SignInLog) -> None:
        self._assertions = assertions
        self._log = log

    async def ask(self, principal: Principal, party: RelyingParty) -> Question | None:
        """See `Assertions`."""
        return await self._assertions.ask(principal, party)

    async def prove(self, ticket: str, answer: Assertion, party: RelyingParty, client: str) -> Principal:
        """Return who has signed in; raises what `claim` and `prove` of `Assertions` do."""
        try:
            claim = await self._assertions.claim(ticket, answer)
        except RegistryError as refused:
            self._log.failed(Source(name="", address=client, credential=_SECURITY_KEY), refused.message)
            raise
        proving = self._assertions.prove(claim, answer, party, client)
        return await self._log.of(claim.principal.name, client, _SECURITY_KEY, proving, credential=_SECURITY_KEY)


class RecordedExchange:
    """An `OutsideTokens`, likewise."""

    def __init__(self, exchange: OutsideTokens, log: SignInLog) -> None:
        self._exchange = exchange
        self._log = log

    async def exchange(self, name: str, token: str, client: str) -> Principal:
        """See `OutsideTokens`."""
        return await self._log.of(name, client, "outside token", self._exchange.exchange(name, token, client))


class RecordedRefresh:
    """A `LongTokens` over refresh tokens, likewise: what redeems one signs in."""

    def __init__(self, tokens: RefreshTokens, log: SignInLog) -> None:
        self._tokens = tokens
        self._log = log

    async def issue(self, principal: Principal, service: str) -> str | None:
        """See `LongTokens`; making one is part of the sign-in that asked for it."""
        return await self._tokens.issue(principal, service)

    async def redeem(self, token: str, service: str, client: str) -> Principal:
        """See `LongTokens`."""
        redeeming = self._tokens.redeem(token, service)
        return await self._log.of("", client, _REFRESH, redeeming, credential=_REFRESH)


def _row(by: Source, subject: str, result: str, detail: dict[str, object] | None = None, count: int = 1) -> Noted:
    whose = subject or f"user:{by.name}"
    return Noted(by=by, kind=events.SIGN_IN, result=result, subject=whose, detail=detail, count=count)
