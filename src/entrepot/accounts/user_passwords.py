"""Passwords of local accounts: changed by their owner, set by an administrator, or by a link that is good once."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from entrepot.access.authenticator import PasswordVerifier
from entrepot.access.authorizer import Authorizer
from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.access.model import Principal
from entrepot.access.passwords.credentials import Basic
from entrepot.accounts.passwords import USUAL, PasswordRule
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.accounts.users import Hash
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import one_time_links, users
from entrepot.metadata.people.one_time_links import RESET_PASSWORD
from entrepot.metadata.people.users import UserRecord
from entrepot.metadata.transaction_turns import in_turn

#: Seconds for which a link to set a password is good.
LINK_LIFETIME = 30 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetLink:
    """What an administrator hands to somebody who is to choose a new password."""

    token: str = field(repr=False)
    expires_at: int  #: microseconds since the epoch


class UserPasswords:
    """The use cases about passwords; whether the caller may, the caller's side has asked before."""

    def __init__(
        self,
        metadata: Database,
        authorizer: Authorizer,
        hash_password: Hash,
        passwords: PasswordVerifier,
        *,
        changed: Callable[[str], None] = lambda _name: None,
        rule: PasswordRule = USUAL,
    ) -> None:
        """Keep what to ask.

        Args:
            metadata: The metadata.
            authorizer: Knows what who acts may do.
            hash_password: Hashes a new password.
            passwords: Compares an old one, with the limits on wrong guesses: no key counts here, no code is asked for.
            changed: Told the account's name before a change is answered: a file with the password of before goes.
            rule: What a new password has to be.
        """
        self._metadata = metadata
        self._authorizer = authorizer
        self._hash = hash_password
        self._passwords = passwords
        self._changed = changed
        self._rule = rule

    async def change_own(self, user_id: int, old: str, new: str, *, by: Source) -> None:
        """Change one's own password, knowing the old one; everything that it opened ends.

        Raises:
            NotFound: There is no such account.
            PreconditionFailed: The password is kept elsewhere.
            Invalid: The new one cannot be, or is the old one.
            Forbidden: The old one is wrong.
            TooManyRequests: Too many wrong ones.
        """
        user = await self._local(user_id)
        chosen = self._rule.checked(new, user.name)
        try:
            await self._passwords.verify(Basic(user.name, old), by.address)
        except CredentialsRefused:
            raise Forbidden("the old password is wrong") from None
        if chosen == unicodedata.normalize("NFC", old):
            raise Invalid("the new password is the old one; choose another")
        await self._set(user, chosen, by, must_change=False)

    async def set_by_admin(
        self, user_id: int, new: str, *, acting: Principal | None, by: Source, must_change: bool = False
    ) -> None:
        """Give somebody a new password; everything that the old one opened ends.

        Args:
            user_id: Whose.
            new: The password.
            acting: Who acts; None for the operator at the machine.
            by: What the audit log says of who acts.
            must_change: Whether they must choose another one before anything else.

        Raises:
            NotFound: There is no such account.
            PreconditionFailed: The password is kept elsewhere.
            Invalid: The new one cannot be.
            Forbidden: The account may more than who acts.
        """
        user = await self._local(user_id)
        await require_to_outrank(self._metadata, self._authorizer, acting, user_id)
        await self._set(user, self._rule.checked(new, user.name), by, must_change=must_change)

    async def make_reset_link(self, user_id: int, *, acting: Principal | None, by: Source) -> ResetLink:
        """Make a link with which somebody sets their password, once and within half an hour.

        The password they have goes on until then. An earlier link is good no more.

        Raises:
            NotFound: There is no such account.
            PreconditionFailed: The password is kept elsewhere, or the account is closed.
            Forbidden: The account may more than who acts.
        """
        user = await self._local(user_id)
        if user.disabled:
            raise PreconditionFailed(f"the account {user.name} is closed; open it first")
        await require_to_outrank(self._metadata, self._authorizer, acting, user_id)
        link = ResetLink(token=secrets.token_urlsafe(32), expires_at=clock.after(LINK_LIFETIME))

        async def work(tx: Transaction) -> None:
            await one_time_links.put(
                tx, _hashed(link.token), principal_id=user_id, purpose=RESET_PASSWORD, expires_at=link.expires_at
            )
            await _note(tx, user, by, "link to set a password made")

        await self._metadata.write(work, name="make reset link")
        return link

    async def use_reset_link(self, token: str, new: str, *, by: Source) -> UserRecord:
        """Set a password by a link, which is then good no more.

        Raises:
            Forbidden: The link was never good, was used, or its time is over.
            Invalid: The new password cannot be; the link is still good.
        """
        hashed = _hashed(token)
        user = await _of_link(self._metadata, hashed)
        encoded = await asyncio.to_thread(self._hash, self._rule.checked(new, user.name))

        async def work(tx: Transaction) -> None:
            await in_turn(tx, f"link:{hashed}")
            found = await _of_link(tx, hashed)
            await _store(tx, found, encoded, by, must_change=False)

        await self._metadata.write(work, name="set password by link")
        await asyncio.to_thread(self._changed, user.name)
        return user

    async def _set(self, user: UserRecord, chosen: str, by: Source, *, must_change: bool) -> None:
        encoded = await asyncio.to_thread(self._hash, chosen)
        await self._metadata.write(
            lambda tx: _store(tx, user, encoded, by, must_change=must_change), name="set password"
        )
        await asyncio.to_thread(self._changed, user.name)

    async def _local(self, user_id: int) -> UserRecord:
        user = await users.find_by_id(self._metadata, user_id)
        if user is None:
            raise NotFound("there is no such user")
        if user.provider != users.LOCAL:
            raise PreconditionFailed(f"the password of {user.name} is kept by {user.provider}; change it there")
        return user


async def _of_link(reader: Reader, hashed: str) -> UserRecord:
    user_id = await one_time_links.find(reader, hashed, RESET_PASSWORD)
    user = None if user_id is None else await users.find_by_id(reader, user_id)
    if user is None or user.disabled:
        raise Forbidden("this link is not good any more; ask an administrator for another")
    return user


async def _store(tx: Transaction, user: UserRecord, encoded: str, by: Source, *, must_change: bool) -> None:
    if await users.find_by_id(tx, user.id) is None:
        raise NotFound("there is no such user")
    await users.set_password(tx, user.id, encoded, must_change=must_change)
    await one_time_links.remove_of(tx, user.id)
    await _note(tx, user, by, "password set")


async def _note(tx: Transaction, user: UserRecord, by: Source, what: str) -> None:
    await events.add(tx, events.UPDATE, by=by, subject=f"user:{user.name}", detail={"what": what})


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
