"""People: made, found, listed, changed, closed and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, Forbidden, NotFound, PreconditionFailed, require_unchanged
from entrepot.access.model import Grant, Principal
from entrepot.access.permissions import EVERYTHING, expand
from entrepot.access.roles import SYSTEM_ADMIN
from entrepot.accounts.directory.model import PROVIDER, subject_of_name
from entrepot.accounts.grant_checks import require_to_have
from entrepot.accounts.lookalike_names import require_free
from entrepot.accounts.names import checked_email, checked_name, checked_text
from entrepot.accounts.passwords import USUAL, PasswordRule
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.metadata import events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.metadata.people import grants, memberships, principals
from entrepot.metadata.people import users as rows
from entrepot.metadata.people.groups import GroupRecord
from entrepot.metadata.people.users import UserRecord

#: Hashes a password slowly; called in a thread.
Hash = Callable[[str], str]
#: Origin of the grant that makes somebody an administrator.
ORIGIN = "sysadmin"
#: What a search finds at most.
_FOUND = 100
_PROFILE = ("email", "realname", "comment")


class Users:
    """The use cases about people; whether the caller may, the caller's side has asked before.

    `acting` is who does it; None is the operator at the machine, who may everything.
    """

    def __init__(
        self, metadata: Database, authorizer: Authorizer, hash_password: Hash, rule: PasswordRule = USUAL
    ) -> None:
        self._metadata = metadata
        self._authorizer = authorizer
        self._hash = hash_password
        self._rule = rule

    async def find(self, name: str) -> UserRecord | None:
        """Return the person of this account name, if there is one."""
        return await rows.find(self._metadata, name)

    async def get(self, user_id: int) -> UserRecord:
        """Return the person of this id.

        Raises:
            NotFound: There is none.
        """
        return _found(await rows.find_by_id(self._metadata, user_id))

    async def page(self, selection: Selection) -> Listed[UserRecord]:
        """Return a page of all people; `users.LISTING.fields` says by what they are filtered and sorted."""
        return await rows.page(self._metadata, selection)

    async def search(self, text: str, selection: Selection) -> Listed[UserRecord]:
        """Return a page of the people whose account name has `text` in it."""
        named = Condition(field="username", match=Match.CONTAINS, values=(text,))
        narrowed = Selection(conditions=(named,), limit=min(selection.limit, _FOUND), offset=selection.offset)
        return await rows.page(self._metadata, narrowed)

    async def groups_of(self, user_id: int) -> list[GroupRecord]:
        """Return the groups that a person is in."""
        return await memberships.groups_of(self._metadata, user_id)

    async def create(
        self,
        name: str,
        password: str | None,
        *,
        by: Source,
        email: str | None = None,
        realname: str = "",
        comment: str = "",
    ) -> UserRecord:
        """Make a local account, without any right.

        Args:
            name: How the person signs in.
            password: Their first password; None: they get a link to set one (`UserPasswords.make_reset_link`).
            by: What the audit log says of who makes it.
            email: Their address.
            realname: Their name.
            comment: For people.

        Raises:
            Invalid: A value cannot be, the password least of all.
            Conflict: There is an account of this name, or of one that looks the same.
        """
        name = checked_name(name)
        email = _checked(email, realname, comment)
        encoded = None
        if password is not None:
            encoded = await asyncio.to_thread(self._hash, self._rule.checked(password, name))

        async def work(tx: Transaction) -> UserRecord:
            await require_free(tx, name)
            made = await rows.add(tx, name, secret=encoded, email=email, realname=realname, comment=comment)
            if made is None:
                raise Conflict(f"there is a user {name} already; choose another name")
            await events.add(tx, events.CREATE, by=by, subject=f"user:{name}", detail={"provider": rows.LOCAL})
            return made

        return await self._metadata.write(work, name="create user")

    async def register(
        self, name: str, password: str, *, by: Source, allowed: bool, email: str | None = None, realname: str = ""
    ) -> UserRecord:
        """Make an account for somebody who asks for one, without any right.

        Args:
            name: How the person signs in.
            password: Their password.
            by: What the audit log says of who asks.
            allowed: Whether the setting `self_registration` allows it.
            email: Their address.
            realname: Their name.

        Raises:
            Forbidden: Accounts are made by administrators here.
            Invalid: A value cannot be.
            Conflict: There is an account of this name, or of one that looks the same.
        """
        if not allowed:
            raise Forbidden("accounts are made by an administrator here; ask for one")
        return await self.create(name, password, by=by, email=email, realname=realname)

    async def change(
        self,
        user_id: int,
        *,
        by: Source,
        email: str | None,
        realname: str,
        comment: str,
        expected: int | None = None,
    ) -> UserRecord:
        """Change what people see of a person.

        Raises:
            PreconditionFailed: It was changed since `expected`.
            NotFound: There is no such account.
            Invalid: A value cannot be.
        """
        email = _checked(email, realname, comment)

        async def work(tx: Transaction) -> UserRecord:
            user = _found(await rows.find_by_id(tx, user_id))
            require_unchanged(f"the account {user.name}", user.updated_at, expected)
            await rows.set_profile(tx, user_id, email=email, realname=realname, comment=comment)
            now = _found(await rows.find_by_id(tx, user_id))
            changed = [field for field in _PROFILE if getattr(user, field) != getattr(now, field)]
            await _note(tx, events.UPDATE, now, by, {"changed": changed})
            return now

        return await self._metadata.write(work, name="change user")

    async def set_sysadmin(self, user_id: int, *, sysadmin: bool, acting: Principal | None, by: Source) -> None:
        """Make somebody an administrator of the whole registry, or take that back.

        What was opened before somebody became one ends: nobody may have got hold of it while it opened little.

        Raises:
            NotFound: There is no such account.
            Forbidden: Who acts is none.
            PreconditionFailed: It is the last one.
        """
        if acting is not None:
            everything = Grant(permissions=expand([EVERYTHING]))
            await require_to_have(self._authorizer, acting, [everything])

        async def work(tx: Transaction) -> None:
            user = _found(await rows.find_by_id(tx, user_id))
            if sysadmin == user.sysadmin:
                return
            if sysadmin:
                await grants.add(tx, principal_id=user_id, role_id=SYSTEM_ADMIN, origin=ORIGIN)
                await principals.end_sign_ins(tx, user_id)
            else:
                await _require_other_admin(tx, user)
                await _take_sysadmin(tx, user_id)
            kind = events.GRANT if sysadmin else events.REVOKE
            await _note(tx, kind, user, by, {"role": "systemAdmin"})

        await self._metadata.write(work, name="set sysadmin")

    async def set_disabled(self, user_id: int, *, disabled: bool, acting: Principal | None, by: Source) -> None:
        """Close an account, with all that is open, or open it again.

        Opening one that the directory closed is the word that it is for whoever has its name there now.

        Raises:
            NotFound: There is no such account.
            Forbidden: The account may more than who acts.
            PreconditionFailed: It is one's own, or the last administrator's.
        """
        await self._require_to_close(user_id, acting)

        async def work(tx: Transaction) -> None:
            user = _found(await rows.find_by_id(tx, user_id))
            left = not disabled and user.provider == PROVIDER and user.expires_at is not None
            if left:
                await principals.set_expiry(tx, user_id, None)
                await rows.set_provider(tx, user_id, PROVIDER, subject_of_name(user.name))
            elif disabled == user.disabled:
                return
            if disabled:
                await _require_other_admin(tx, user)
            await principals.set_disabled(tx, user_id, disabled=disabled)
            await _note(tx, events.UPDATE, user, by, {"disabled": disabled})

        await self._metadata.write(work, name="disable user" if disabled else "enable user")

    async def remove(self, user_id: int, *, acting: Principal | None, by: Source) -> None:
        """Remove an account with its grants, keys, memberships and sign-ins.

        Raises:
            NotFound: There is no such account.
            Forbidden: The account may more than who acts.
            PreconditionFailed: It is one's own, or the last administrator's.
        """
        await self._require_to_close(user_id, acting)

        async def work(tx: Transaction) -> None:
            user = _found(await rows.find_by_id(tx, user_id))
            await _require_other_admin(tx, user)
            await principals.remove(tx, user_id)
            await _note(tx, events.DELETE, user, by, None)

        await self._metadata.write(work, name="remove user")

    async def _require_to_close(self, user_id: int, acting: Principal | None) -> None:
        if acting is not None and acting.id == user_id:
            raise PreconditionFailed("this is your own account; let another administrator close it")
        await require_to_outrank(self._metadata, self._authorizer, acting, user_id)


def _checked(email: str | None, realname: str, comment: str) -> str | None:
    """Go on only if all three can be kept; return the address, None for the empty text."""
    checked_text(realname, "name")
    checked_text(comment, "comment")
    return checked_email(email)


def _found(user: UserRecord | None) -> UserRecord:
    if user is None:
        raise NotFound("there is no such user")
    return user


async def _require_other_admin(tx: Transaction, user: UserRecord) -> None:
    if user.sysadmin and not await rows.has_other_admin(tx, user.id):
        raise PreconditionFailed(f"{user.name} is the last administrator with a password; make another one first")


async def _take_sysadmin(tx: Transaction, user_id: int) -> None:
    for grant in await grants.of_principal(tx, user_id):
        whole = grant.project_id is None and grant.repositories is None and grant.tags is None
        if grant.role_id == SYSTEM_ADMIN and whole:
            await grants.remove(tx, grant.id)


async def _note(tx: Transaction, kind: str, user: UserRecord, by: Source, detail: dict[str, object] | None) -> None:
    await events.add(tx, kind, by=by, subject=f"user:{user.name}", detail=detail)
