"""Security keys and passkeys as a second factor: registering, naming, removing; `security_key_sign_in` asks them.

Whoever adds or removes one says the password once more: a browser that was left open must not be enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.access.second_factor.factor_records import FactorRecords, Opened, note_change, require_account
from entrepot.access.second_factor.second_factors import turn_all_off
from entrepot.access.second_factor.security_key_answers import Registration, RelyingParty
from entrepot.access.second_factor.security_key_challenges import GONE, KeyChallenges, Purpose
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, second_factors, security_keys, users
from entrepot.metadata.people.security_keys import SecurityKeyRecord
from entrepot.vault.vault import Vault

if TYPE_CHECKING:
    from entrepot.access.second_factor.webauthn import NewCredential

#: An account has at most so many.
MOST: Final = 10
#: Ways to reach a key that browsers know of (section 5.8.4); others are left out.
TRANSPORTS: Final = ("usb", "nfc", "ble", "smart-card", "hybrid", "internal")
_T = TypeVar("_T")
_MANY: Final = f"an account has at most {MOST} security keys; remove one first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new key, and the recovery codes where it is the first second factor: to be shown once."""

    key: SecurityKeyRecord
    recovery_codes: Sequence[str] = field(repr=False)


class SecurityKeys:
    """The use cases about one's own keys."""

    def __init__(
        self,
        metadata: Database,
        work: Database,
        vault: Vault,
        passwords: PasswordVerifier,
        *,
        now: Callable[[], int] = clock.now,
    ) -> None:
        """Keep what to ask.

        Args:
            metadata: Where the keys are.
            work: Where is kept what they were asked.
            vault: Seals recovery codes.
            passwords: Compares passwords, and asks for nothing else.
            now: The time, in microseconds since the epoch.
        """
        self._metadata = metadata
        self._records = FactorRecords(metadata, vault)
        self._passwords = passwords
        self._challenges = KeyChallenges(work, now=now)

    async def list(self, principal: Principal) -> Sequence[SecurityKeyRecord]:
        """List one's keys, the oldest first.

        Raises:
            NotFound: The caller is no person with an account.
        """
        return await security_keys.of_principal(self._metadata, require_account(principal))

    async def begin(
        self, principal: Principal, password: str, party: RelyingParty, *, place: str, client: str
    ) -> dict[str, Any]:
        """Begin to register a key: return what the browser needs. Nothing changes before `complete`.

        Args:
            principal: Who asks.
            password: Theirs.
            party: Whom the key will sign for.
            place: What the answer must come with: the session.
            client: Address of the client.

        Raises:
            NotFound: The caller is no person with an account.
            Forbidden: The second factor is the provider's business.
            Conflict: There are too many already.
            CredentialsRefused: The password is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        account = require_account(principal)
        person = await users.find_by_id(self._metadata, account)
        if person is not None and person.provider.startswith("oidc:"):
            raise Forbidden("your sign-in provider asks for your second factor; set it up there")
        await self._require_password(principal, password, client)
        known = await security_keys.of_principal(self._metadata, account)
        if len(known) >= MOST:
            raise Conflict(_MANY)
        challenge = await self._challenges.put(Purpose.REGISTER, principal, place)
        from entrepot.access.second_factor import webauthn  # noqa: PLC0415 - takes 0.1 s, and few have a key

        return webauthn.creation_options(party, account, principal.name, challenge, known)

    async def complete(
        self, principal: Principal, name: str, answer: Registration, party: RelyingParty, *, place: str, by: Source
    ) -> Registered:
        """Register a key. With the first second factor what the password alone has opened ends.

        Raises:
            NotFound: The caller is no person with an account.
            Forbidden: Nothing was begun here, or too long ago.
            Invalid: The browser's answer does not count, or the name cannot be.
            Conflict: The key or its name is registered already, there are too many, or something else was changed.
        """
        account = require_account(principal)
        name = _named(name)
        found = await self._check(principal, answer, party, place)
        kept = await self._records.open(account)
        key = _record(account, name, party, found, answer)
        codes, recovery = await self._records.new_recovery(account)

        async def register(tx: Transaction) -> Registered:
            await principals.touch(tx, account)  # of several at once each waits for the one before
            first = not await _count(tx, account, kept) and not kept.codes_are_on
            number = await security_keys.add(tx, key)
            if first:
                await second_factors.put(tx, account, replace(kept.record, recovery=recovery))
                await principals.end_sign_ins(tx, account)
            await note_change(tx, principal.name, by, "security key added", key=name)
            return Registered(
                key=replace(key, id=number, created_at=clock.now()), recovery_codes=codes if first else []
            )

        return await self._write(register)

    async def rename(self, principal: Principal, key_id: int, name: str, by: Source) -> None:
        """Give one of one's keys another name.

        Raises:
            NotFound: The caller has no such key.
            Invalid: The name cannot be.
            Conflict: Another one has it.
        """
        account, name = require_account(principal), _named(name)

        async def rename(tx: Transaction) -> None:
            if not await security_keys.rename(tx, account, key_id, name):
                raise _unknown(key_id)
            await note_change(tx, principal.name, by, "security key renamed", key=name)

        await self._write(rename)

    async def remove(self, principal: Principal, key_id: int, password: str, by: Source) -> None:
        """Remove one of one's keys; with the last second factor the recovery codes go, too.

        Raises:
            NotFound: The caller has no such key.
            Conflict: Something else was changed at the same moment.
            CredentialsRefused: The password is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        account = require_account(principal)
        key = next((each for each in await self.list(principal) if each.id == key_id), None)
        if key is None:
            raise _unknown(key_id)
        await self._require_password(principal, password, by.address)
        kept = await self._records.open(account)

        async def remove(tx: Transaction) -> None:
            await principals.touch(tx, account)
            if not await security_keys.remove(tx, account, key_id):
                raise _unknown(key_id)
            await note_change(tx, principal.name, by, "security key removed", key=key.name)
            if not await _count(tx, account, kept) and not kept.codes_are_on:
                await turn_all_off(tx, principal, by)

        await self._metadata.write(remove, name="security key")

    async def require_password_beside(self, principal: Principal, password: str | None, client: str) -> None:
        """Go on if somebody without a key adds another second factor, or somebody with one says the password.

        Raises:
            NotFound: The caller is no person with an account.
            Invalid: There is a key, and no password.
            CredentialsRefused: The password is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        if not await security_keys.count(self._metadata, require_account(principal)):
            return
        if password is None:
            raise Invalid('you have a security key: to add one-time codes, say your password, too, as "password"')
        await self._require_password(principal, password, client)

    async def _check(
        self, principal: Principal, answer: Registration, party: RelyingParty, place: str
    ) -> NewCredential:
        from entrepot.access.second_factor import webauthn  # noqa: PLC0415 - as above

        try:
            challenge = webauthn.challenge_of(answer.client_data)
            asked = await self._challenges.take(Purpose.REGISTER, challenge, place)
            if (asked.account, asked.epoch) != (principal.id, principal.epoch):
                raise Forbidden(GONE)
            return await asyncio.to_thread(webauthn.check_registration, party, challenge, answer)
        except webauthn.AnswerRefused as refused:
            raise Invalid(str(refused)) from None

    async def _require_password(self, principal: Principal, password: str, client: str) -> None:
        found = await self._passwords.verify(Basic(principal.name, password), client)
        if found.id != principal.id or found.credential != "password":
            raise CredentialsRefused("say the password, and no key or token")

    async def _write(self, work: Callable[[Transaction], Awaitable[_T]]) -> _T:
        try:
            return await self._metadata.write(work, name="security key")
        except ConstraintViolated:
            raise Conflict("this key is registered already, or you have another of this name") from None


async def _count(tx: Transaction, account: int, kept: Opened) -> int:
    """Count an account's keys.

    Raises:
        Conflict: Its codes are others than those that were looked at before, or there are too many keys.
    """
    if await second_factors.find(tx, account) != kept.record:
        raise Conflict("your second factor was changed at the same moment; look at it and try again")
    found = await security_keys.count(tx, account)
    if found >= MOST:
        raise Conflict(_MANY)
    return found


def _record(
    account: int, name: str, party: RelyingParty, found: NewCredential, answer: Registration
) -> SecurityKeyRecord:
    return SecurityKeyRecord(
        principal_id=account,
        name=name,
        credential=found.credential,
        public_key=found.public_key,
        host=party.host,
        sign_count=found.sign_count,
        aaguid=found.aaguid,
        transports=",".join(each for each in TRANSPORTS if each in answer.transports),
        backed_up=found.backed_up,
    )


def _named(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise Invalid("a security key's name has 1 to 64 printable characters")
    return name


def _unknown(key_id: int) -> NotFound:
    return NotFound(f"you have no security key of the number {key_id}")
