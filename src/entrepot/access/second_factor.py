"""A second proof beside the password: people turn it on, and from then on the password alone signs nobody in.

That holds for browsers, for the API and for `docker login` alike. Programs cannot type codes; they use API keys.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.credentials import Basic
from entrepot.access.errors import CredentialsRefused, OneTimeCodeNeeded, SecondFactorNeeded
from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.memory import Memory
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.throttle import Throttle
from entrepot.access.totp import DIGITS, Seed, hash_recovery_code, new_recovery_codes, without
from entrepot.metadata import events, principals, sealed, second_factors
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.second_factors import SecondFactorRecord
from entrepot.vault.vault import Vault

_LIMIT = 10_000
_REMEMBER = 60.0
#: Tells whether a second factor is required of somebody.
RequiredOf = Callable[[Principal], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What an authenticator app needs; it counts once a code has been confirmed."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person has set up."""

    enabled: bool
    recovery_codes: int  #: that are left


class SecondFactors:
    """Sets up, checks and removes second factors."""

    def __init__(
        self,
        metadata: Database,
        vault: Vault,
        throttle: Throttle,
        *,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep what to ask.

        Args:
            metadata: Where seeds and recovery codes are.
            vault: Opens them.
            throttle: Counts wrong codes.
            turn: Waits until no other worker looks at a code; within this process one is looked at at a time anyway.
            now: The time, in seconds since the epoch.
        """
        self._metadata = metadata
        self._vault = vault
        self._throttle = throttle
        self._others = turn
        self._now = now
        self._turn = asyncio.Lock()
        # Turning it on or off changes the account's epoch, so what is remembered of one epoch stays true.
        self._known: Memory[tuple[int, int], bool] = Memory(limit=_LIMIT, seconds=_REMEMBER)

    async def is_on(self, principal: Principal) -> bool:
        """Tell whether the account of a person needs a second proof."""
        if principal.id is None or principal.kind is not PrincipalKind.USER:
            return False
        key = (principal.id, principal.epoch)
        known = self._known.find(key)
        if known is None:
            seed = await self._seed(principal.id)
            known = seed is not None and seed.confirmed
            self._known.put(key, known)
        return known

    async def prove(self, principal: Principal, code: str, client: str) -> None:
        """Go on if a code of the app, or a recovery code, is right; either counts once.

        Wrong ones are counted apart from wrong passwords: whoever gets here has the right one, again and again.

        Raises:
            CredentialsRefused: It is not.
            TooManyRequests: There were too many wrong ones.
        """
        counted = f"{principal.name}:code"  # no account's name has a colon
        await self._throttle.check(counted, client)
        async with self._turn, self._others():
            await self._throttle.check(counted, client)  # of many that came at once, some have failed since
            if not await self._accept(principal, code.strip()):
                await self._throttle.failed(counted, client)
                raise CredentialsRefused("the one-time code is wrong, or was used already; wait for the next one")
        await self._throttle.succeeded(counted, client)

    async def _accept(self, principal: Principal, code: str) -> bool:
        assert principal.id is not None  # whoever has turned it on has an account
        if len(code) == DIGITS and code.isascii() and code.isdecimal():
            return await self._accept_code(principal.id, code)
        return await self._accept_recovery(principal.id, code)

    async def status(self, principal_id: int) -> Status:
        """Return what a person has set up."""
        record = await second_factors.find(self._metadata, principal_id)
        seed = await self._seed(principal_id)
        left = await self._recovery(principal_id, record) if seed is not None and seed.confirmed else []
        return Status(enabled=seed is not None and seed.confirmed, recovery_codes=len(left))

    async def enrol(self, principal: Principal, issuer: str) -> Enrolment:
        """Begin to turn it on: nothing changes before `confirm`.

        Raises:
            Conflict: It is on already.
            NotFound: The caller is no person with an account.
        """
        account = _person(principal)
        await self._require(account, on=False)
        seed = Seed.new()
        await self._put(account, await self._sealed_seed(account, seed), None)
        return Enrolment(secret=seed.secret, uri=seed.uri(principal.name, issuer))

    async def confirm(self, principal: Principal, code: str, by: Source) -> list[str]:
        """Turn it on, once the app has shown a right code; ends everything that the password alone has opened.

        Returns:
            The recovery codes, to be shown once.

        Raises:
            Conflict: It is on already, or was not begun.
            Invalid: The code is wrong.
        """
        account = _person(principal)
        await self._require(account, on=False)
        seed = await self._seed(account)
        if seed is None:
            raise Conflict("begin with setting up the app; there is nothing to confirm yet")
        step = seed.step_of(code.strip(), self._now())
        if step is None:
            raise Invalid("the code is wrong; do the clocks of the phone and of the registry agree?")
        totp = await self._sealed_seed(account, replace(seed, confirmed=True, last=step))
        codes = new_recovery_codes()
        recovery = await self._sealed_codes(account, [hash_recovery_code(each) for each in codes])
        await self._change(principal, SecondFactorRecord(totp, recovery), by, "on")
        return codes

    async def disable(self, principal: Principal, code: str, by: Source) -> None:
        """Turn it off, with one more code.

        Raises:
            Conflict: It is not on.
            CredentialsRefused: The code is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        await self._require(_person(principal), on=True)
        await self.prove(principal, code, by.address)
        await self._change(principal, SecondFactorRecord(None, None), by, "off")

    async def new_codes(self, principal: Principal, code: str, by: Source) -> list[str]:
        """Replace the recovery codes, with one more code; raises what `disable` does."""
        account = _person(principal)
        await self._require(account, on=True)
        await self.prove(principal, code, by.address)
        codes = new_recovery_codes()
        recovery = await self._sealed_codes(account, [hash_recovery_code(each) for each in codes])
        record = await second_factors.find(self._metadata, account)
        await self._write(principal.name, account, replace(record, recovery=recovery), by, "new recovery codes")
        return codes

    async def reset(self, name: str, by: Source) -> None:
        """Turn it off for somebody who has lost app and codes.

        Raises:
            NotFound: There is no such person.
        """
        found = await principals.find(self._metadata, principals.USER, name)
        if found is None:
            raise NotFound(f"there is no user {name}")
        principal = Principal(kind=PrincipalKind.USER, name=found.name, id=found.id, epoch=found.epoch)
        await self._change(principal, SecondFactorRecord(None, None), by, "off")

    async def _accept_code(self, account: int, code: str) -> bool:
        record = await second_factors.find(self._metadata, account)
        seed = await self._seed(account)
        step = None if seed is None or not seed.confirmed else seed.step_of(code, self._now())
        if seed is None or step is None or record.totp is None:
            return False
        old, new = record.totp, await self._sealed_seed(account, replace(seed, last=step))
        return await self._metadata.write(
            lambda tx: second_factors.replace_totp(tx, account, old=old, new=new), name="use one-time code"
        )

    async def _accept_recovery(self, account: int, code: str) -> bool:
        record = await second_factors.find(self._metadata, account)
        left = without(await self._recovery(account, record), code)
        if left is None or record.recovery is None:
            return False
        old, new = record.recovery, await self._sealed_codes(account, left)
        return await self._metadata.write(
            lambda tx: second_factors.replace_recovery(tx, account, old=old, new=new), name="use recovery code"
        )

    async def _change(self, principal: Principal, record: SecondFactorRecord, by: Source, what: str) -> None:
        """Turn it on or off, and end what was opened before."""
        account = _person(principal)

        async def change(tx: Transaction) -> None:
            await second_factors.put(tx, account, record)
            await principals.end_sign_ins(tx, account)
            await _note(tx, principal.name, by, what)

        await self._metadata.write(change, name="second factor")

    async def _write(self, name: str, account: int, record: SecondFactorRecord, by: Source, what: str) -> None:
        async def change(tx: Transaction) -> None:
            await second_factors.put(tx, account, record)
            await _note(tx, name, by, what)

        await self._metadata.write(change, name="second factor")

    async def _put(self, account: int, totp: str | None, recovery: str | None) -> None:
        record = SecondFactorRecord(totp, recovery)
        if not await self._metadata.write(lambda tx: second_factors.put(tx, account, record), name="second factor"):
            raise NotFound("only people with an account here have a second factor")

    async def _require(self, account: int, *, on: bool) -> None:
        seed = await self._seed(account)
        if on is not (seed is not None and seed.confirmed):
            raise Conflict("there is no second factor" if on else "there is a second factor already; turn it off first")

    async def _seed(self, account: int) -> Seed | None:
        record = await second_factors.find(self._metadata, account)
        if record.totp is None:
            return None
        return Seed.from_text(await self._vault.open(record.totp, sealed.about(sealed.TOTP, account)))

    async def _recovery(self, account: int, record: SecondFactorRecord) -> list[str]:
        if record.recovery is None:
            return []
        text = await self._vault.open(record.recovery, sealed.about(sealed.RECOVERY, account))
        return [str(each) for each in json.loads(text)]

    async def _sealed_seed(self, account: int, seed: Seed) -> str:
        return await self._vault.seal(seed.to_text(), sealed.about(sealed.TOTP, account))

    async def _sealed_codes(self, account: int, hashes: list[str]) -> str:
        return await self._vault.seal(json.dumps(hashes), sealed.about(sealed.RECOVERY, account))


class SecondFactorPasswords:
    """A `PasswordVerifier` that asks whoever has turned it on for a code, too."""

    def __init__(
        self, verifier: PasswordVerifier, factors: SecondFactors, required_of: RequiredOf | None = None
    ) -> None:
        """Keep what to ask; `required_of` tells of whom a second factor is required."""
        self._verifier = verifier
        self._factors = factors
        self._required_of = required_of

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`; of whom a second factor is required and who has none is `unproven`.

        Raises:
            OneTimeCodeNeeded: The password is right, and there is no code.
        """
        principal = await self._verifier.verify(basic, client)
        # A key was made for programs, by somebody who had signed in; a token says itself what it is good for.
        if principal.key is not None or principal.scopes is not None or principal.kind is not PrincipalKind.USER:
            return principal
        if not await self._factors.is_on(principal):
            required = self._required_of is not None and await self._required_of(principal)
            return replace(principal, unproven=True) if required else principal
        if not basic.one_time:
            raise OneTimeCodeNeeded
        await self._factors.prove(principal, basic.one_time, client)
        return principal


class ProvenPasswords:
    """A `PasswordVerifier` for what outlives the sign-in, such as sessions and tokens: nobody `unproven` gets one."""

    def __init__(self, verifier: PasswordVerifier) -> None:
        self._verifier = verifier

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`.

        Raises:
            SecondFactorNeeded: The password is right, and the second factor that is required is not set up.
        """
        principal = await self._verifier.verify(basic, client)
        if principal.unproven:
            raise SecondFactorNeeded
        return principal


async def _note(tx: Transaction, name: str, by: Source, what: str) -> None:
    await events.add(tx, events.UPDATE, by=by, subject=f"user:{name}", detail={"second factor": what})


def _person(principal: Principal) -> int:
    """Return the account of a person.

    Raises:
        NotFound: The caller is no person with an account.
    """
    if principal.id is None or principal.kind is not PrincipalKind.USER:
        raise NotFound("only people with an account here have a second factor")
    return principal.id
