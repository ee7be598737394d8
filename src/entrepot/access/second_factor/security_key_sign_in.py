"""Signing in with a security key, after the password: what is asked, and whether the answer counts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Forbidden
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.second_factor.second_factors import proofs_of
from entrepot.access.second_factor.security_key_answers import Assertion, RelyingParty
from entrepot.access.second_factor.security_key_challenges import GONE, KeyChallenges, Purpose
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, security_keys
from entrepot.metadata.people.security_keys import SecurityKeyRecord

if TYPE_CHECKING:
    from entrepot.access.second_factor.webauthn import Signed

_TICKET_BYTES = 32
_LONGEST_TICKET = 64
_COPIED = "the key has signed fewer times than it had before: a copy of it may be about; ask an administrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a browser is sent whose owner has given the right password."""

    ticket: str = field(repr=False)  #: must come back with the answer, and is for this browser alone
    options: dict[str, Any]  #: for `navigator.credentials.get`, in JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who answers, and what was asked of them; whether the answer is right is not known yet."""

    principal: Principal
    challenge: bytes = field(repr=False)


class Assertions:
    """Asks keys, and checks what they sign."""

    def __init__(
        self, metadata: Database, work: Database, throttle: Throttle, *, now: Callable[[], int] = clock.now
    ) -> None:
        """Keep what to ask; `throttle` counts wrong answers, together with wrong codes."""
        self._metadata = metadata
        self._challenges = KeyChallenges(work, now=now)
        self._throttle = throttle

    async def ask(self, principal: Principal, party: RelyingParty) -> Question | None:
        """Return what to ask of somebody whose password was right; None when they have no key for this host."""
        known = await self._keys(principal, party)
        if not known:
            return None
        from entrepot.access.second_factor import webauthn  # noqa: PLC0415 - takes 0.1 s, and few have a key

        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        challenge = await self._challenges.put(Purpose.SIGN_IN, principal, ticket)
        return Question(ticket=ticket, options=webauthn.request_options(party, challenge, known))

    async def claim(self, ticket: str, answer: Assertion) -> Claim:
        """Return who answers a question; that uses the question up, whatever the answer is.

        Raises:
            CredentialsRefused: It was none of ours, of another browser, answered before or too long ago; or the account
                was closed or changed since.
        """
        from entrepot.access.second_factor import webauthn  # noqa: PLC0415 - as above

        try:
            challenge = webauthn.challenge_of(answer.client_data)
            asked = await self._challenges.take(Purpose.SIGN_IN, challenge, ticket[:_LONGEST_TICKET])
        except (webauthn.AnswerRefused, Forbidden) as refused:
            raise CredentialsRefused(str(refused)) from None
        account = await principals.find_by_id(self._metadata, asked.account)
        if account is None or account.disabled or account.epoch != asked.epoch:
            raise CredentialsRefused(GONE)
        principal = Principal(kind=PrincipalKind.USER, name=account.name, id=account.id, epoch=account.epoch)
        return Claim(principal=principal, challenge=challenge)

    async def prove(self, claim: Claim, answer: Assertion, party: RelyingParty, client: str) -> Principal:
        """Return who has signed in.

        Raises:
            CredentialsRefused: The answer is not right.
            TooManyRequests: There were too many that were not.
        """
        counted = proofs_of(claim.principal)
        await self._throttle.check(counted, client)
        try:
            await self._check(claim, answer, party, client)
        except CredentialsRefused:
            await self._throttle.failed(counted, client)
            raise
        await self._throttle.succeeded(counted, client)
        return claim.principal

    async def _check(self, claim: Claim, answer: Assertion, party: RelyingParty, client: str) -> None:
        from entrepot.access.second_factor import webauthn  # noqa: PLC0415 - as above

        known = await self._keys(claim.principal, party)
        key = next((each for each in known if each.credential == answer.credential), None)
        if key is None:
            raise CredentialsRefused("this is no security key of the account")
        try:
            signed = await asyncio.to_thread(webauthn.check_assertion, party, claim.challenge, answer, key)
        except webauthn.AnswerRefused as refused:
            raise CredentialsRefused(str(refused)) from None
        if not await self._use(key, signed):
            await self._alert(claim.principal, key, signed, client)
            raise CredentialsRefused(_COPIED)

    async def _use(self, key: SecurityKeyRecord, signed: Signed) -> bool:
        """Note the use; False when the key's count has not grown, or has grown elsewhere at the same moment."""
        if max(key.sign_count, signed.sign_count) > 0 and signed.sign_count <= key.sign_count:
            return False

        async def use(tx: Transaction) -> bool:
            return await security_keys.use(tx, key, sign_count=signed.sign_count, backed_up=signed.backed_up)

        return await self._metadata.write(use, name="use security key")

    async def _alert(self, principal: Principal, key: SecurityKeyRecord, signed: Signed, client: str) -> None:
        by = Source(name=principal.name, address=client, credential="security key")
        detail = {"security key": key.name, "signed before": key.sign_count, "signed now": signed.sign_count}

        async def alert(tx: Transaction) -> None:
            await events.add(
                tx, events.ALERT, by=by, subject=f"user:{principal.name}", detail=detail, result=events.FAILURE
            )

        await self._metadata.write(alert, name="copied security key")

    async def _keys(self, principal: Principal, party: RelyingParty) -> list[SecurityKeyRecord]:
        """List the account's keys that sign for this host: of another one none counts, whatever it signs."""
        assert principal.id is not None  # whoever has a second factor has an account
        found = await security_keys.of_principal(self._metadata, principal.id)
        return [key for key in found if key.host == party.host]
