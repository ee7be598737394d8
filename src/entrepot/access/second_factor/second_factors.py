"""A second proof beside the password: people turn it on, and from then on the password alone signs nobody in.

That holds for browsers, for the API and for `docker login` alike. Programs cannot type codes; they use API keys. Here
are the one-time codes of an app; `security_keys` has the other kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.second_factor.factor_records import NOTHING, FactorRecords, Opened, note_change, require_account
from entrepot.access.second_factor.totp import DIGITS, Seed, without
from entrepot.access.ttl_cache import Memory
from entrepot.metadata.clock import seconds as clock_seconds
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, second_factors, security_keys
from entrepot.metadata.people.second_factors import SecondFactorRecord
from entrepot.vault.vault import Vault

_LIMIT = 10_000
_REMEMBER = 60.0
_NONE = "there is no second factor"
_WRONG_CODE = "the one-time code is wrong, or was used already; wait for the next one"
_WRONG_RECOVERY = "the recovery code is wrong, or was used already: each signs in once; take another of them"


def _is_of_app(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdecimal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What an authenticator app needs; it counts once a code has been confirmed."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a person has set up."""

    one_time_codes: bool  #: of an app
    security_keys: int
    recovery_codes: int  #: that are left

    @property
    def enabled(self) -> bool:
        """Tell whether there is a second factor at all."""
        return self.one_time_codes or self.security_keys > 0


class SecondFactors:
    """Sets up, checks and removes second factors."""

    def __init__(
        self,
        metadata: Database,
        vault: Vault,
        throttle: Throttle,
        *,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        now: Callable[[], float] = clock_seconds,
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
        self._records = FactorRecords(metadata, vault)
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
            known = (await self.status(principal.id)).enabled
            self._known.put(key, known)
        return known

    async def prove(self, principal: Principal, code: str, client: str) -> None:
        """Go on if a code of the app, or a recovery code, is right; either counts once.

        Wrong ones are counted apart from wrong passwords: whoever gets here has the right one, again and again.

        Raises:
            CredentialsRefused: It is not.
            TooManyRequests: There were too many wrong ones.
        """
        counted = proofs_of(principal)
        await self._throttle.check(counted, client)
        async with self._turn, self._others():
            await self._throttle.check(counted, client)  # of many that came at once, some have failed since
            if not await self._accept(principal, code.strip()):
                await self._throttle.failed(counted, client)
                raise CredentialsRefused(_WRONG_CODE if _is_of_app(code.strip()) else _WRONG_RECOVERY)
        await self._throttle.succeeded(counted, client)

    async def _accept(self, principal: Principal, code: str) -> bool:
        assert principal.id is not None  # whoever has turned it on has an account
        if _is_of_app(code):
            return await self._accept_code(principal.id, code)
        return await self._accept_recovery(principal.id, code)

    async def status(self, account: int) -> Status:
        """Return what a person has set up."""
        kept = await self._records.open(account)
        keys = await security_keys.count(self._metadata, account)
        enabled = kept.codes_are_on or keys > 0
        left = await self._records.recovery(account, kept.record) if enabled else []
        return Status(one_time_codes=kept.codes_are_on, security_keys=keys, recovery_codes=len(left))

    async def enrol(self, principal: Principal, issuer: str) -> Enrolment:
        """Begin to turn one-time codes on: nothing changes before `confirm`.

        Raises:
            Conflict: They are on already.
            NotFound: The caller is no person with an account.
        """
        account = require_account(principal)
        kept = await self._require(account, on=False)
        seed = Seed.new()
        record = replace(kept.record, totp=await self._records.seal_seed(account, seed))
        if not await self._metadata.write(lambda tx: second_factors.put(tx, account, record), name="second factor"):
            raise NotFound("only people with an account here have a second factor")
        return Enrolment(secret=seed.secret, uri=seed.uri(principal.name, issuer))

    async def confirm(self, principal: Principal, code: str, by: Source) -> list[str]:
        """Turn one-time codes on, once the app has shown a right one; ends what the password alone has opened.

        Returns:
            The recovery codes, to be shown once.

        Raises:
            Conflict: They are on already, or were not begun.
            Invalid: The code is wrong.
        """
        account = require_account(principal)
        seed = (await self._require(account, on=False)).seed
        if seed is None:
            raise Conflict("begin with setting up the app; there is nothing to confirm yet")
        step = seed.step_of(code.strip(), self._now())
        if step is None:
            raise Invalid("the code is wrong; do the clocks of the phone and of the registry agree?")
        totp = await self._records.seal_seed(account, replace(seed, confirmed=True, last=step))
        codes, recovery = await self._records.new_recovery(account)

        async def turn_on(tx: Transaction) -> None:
            await second_factors.put(tx, account, SecondFactorRecord(totp, recovery))
            await principals.end_sign_ins(tx, account)
            await note_change(tx, principal.name, by, "on")

        await self._metadata.write(turn_on, name="second factor")
        return codes

    async def disable(self, principal: Principal, code: str, by: Source) -> None:
        """Turn one-time codes off, with one more code; security keys stay.

        Raises:
            Conflict: They are not on.
            CredentialsRefused: The code is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        account = require_account(principal)
        await self._require(account, on=True)
        await self.prove(principal, code, by.address)

        async def turn_off(tx: Transaction) -> None:
            if await security_keys.count(tx, account):
                record = replace(await second_factors.find(tx, account), totp=None)
                await second_factors.put(tx, account, record)
                await note_change(tx, principal.name, by, "one-time codes off")
            else:
                await turn_all_off(tx, principal, by)

        await self._metadata.write(turn_off, name="second factor")

    async def new_codes(self, principal: Principal, code: str, by: Source) -> list[str]:
        """Replace the recovery codes, with one more code.

        Raises:
            Conflict: There is no second factor.
            CredentialsRefused: The code is wrong.
            TooManyRequests: There were too many wrong ones.
        """
        account = require_account(principal)
        if not (await self.status(account)).enabled:
            raise Conflict(_NONE)
        await self.prove(principal, code, by.address)
        codes, recovery = await self._records.new_recovery(account)

        async def change(tx: Transaction) -> None:
            record = await second_factors.find(tx, account)
            await second_factors.put(tx, account, replace(record, recovery=recovery))
            await note_change(tx, principal.name, by, "new recovery codes")

        await self._metadata.write(change, name="second factor")
        return codes

    async def reset(self, name: str, by: Source) -> None:
        """Turn everything off for somebody who has lost app, keys and codes.

        Raises:
            NotFound: There is no such person.
        """
        found = await principals.find(self._metadata, principals.USER, name)
        if found is None:
            raise NotFound(f"there is no user {name}")
        principal = Principal(kind=PrincipalKind.USER, name=found.name, id=found.id, epoch=found.epoch)
        await self._metadata.write(lambda tx: turn_all_off(tx, principal, by), name="second factor")

    async def _accept_code(self, account: int, code: str) -> bool:
        kept = await self._records.open(account)
        step = kept.seed.step_of(code, self._now()) if kept.seed is not None and kept.codes_are_on else None
        if kept.seed is None or step is None or kept.record.totp is None:
            return False
        old, new = kept.record.totp, await self._records.seal_seed(account, replace(kept.seed, last=step))
        return await self._metadata.write(
            lambda tx: second_factors.replace_totp(tx, account, old=old, new=new), name="use one-time code"
        )

    async def _accept_recovery(self, account: int, code: str) -> bool:
        record = await second_factors.find(self._metadata, account)
        left = without(await self._records.recovery(account, record), code)
        if left is None or record.recovery is None:
            return False
        old, new = record.recovery, await self._records.seal_recovery(account, left)
        return await self._metadata.write(
            lambda tx: second_factors.replace_recovery(tx, account, old=old, new=new), name="use recovery code"
        )

    async def _require(self, account: int, *, on: bool) -> Opened:
        kept = await self._records.open(account)
        if on is not kept.codes_are_on:
            raise Conflict(_NONE if on else "one-time codes are on already; turn them off first")
        return kept


def proofs_of(principal: Principal) -> str:
    """Return under which name wrong second proofs of an account are counted: no account's name has a colon."""
    return f"{principal.name}:code"


async def turn_all_off(tx: Transaction, principal: Principal, by: Source) -> None:
    """Remove whatever somebody has as a second factor, and end what was opened with it."""
    account = require_account(principal)
    await security_keys.remove_of(tx, account)
    await second_factors.put(tx, account, NOTHING)
    await principals.end_sign_ins(tx, account)
    await note_change(tx, principal.name, by, "off")
