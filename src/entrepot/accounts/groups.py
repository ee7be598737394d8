"""Groups: made, found, listed, renamed and removed, with their members."""

from __future__ import annotations

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, Invalid, NotFound, PreconditionFailed, require_unchanged
from entrepot.access.model import Principal
from entrepot.accounts.end_sessions_on_promotion import end_if_administrators
from entrepot.accounts.names import checked_name
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.metadata import events
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.metadata.people import groups as rows
from entrepot.metadata.people import memberships, principals, users
from entrepot.metadata.people.groups import GroupRecord
from entrepot.metadata.people.memberships import GroupMember
from entrepot.metadata.people.users import UserRecord

_LONGEST_SUBJECT = 1024


class Groups:
    """The use cases about groups; whether the caller may, the caller's side has asked before.

    Who is in a group of a directory or provider is for these to say. `acting` is who does it; None is the operator at
    the machine, who may everything.
    """

    def __init__(self, metadata: Database, authorizer: Authorizer) -> None:
        self._metadata = metadata
        self._authorizer = authorizer

    async def find(self, name: str) -> GroupRecord | None:
        """Return the group of this name, if there is one."""
        return await rows.find(self._metadata, name)

    async def get(self, group_id: int) -> GroupRecord:
        """Return the group of this id.

        Raises:
            NotFound: There is none.
        """
        return await _required(self._metadata, group_id)

    async def of_provider(self, provider: str, subject: str) -> GroupRecord | None:
        """Return the group that a provider knows by a name of its own, if there is one."""
        found = await rows.by_subjects(self._metadata, provider, [subject])
        return found[0] if found else None

    async def page(self, selection: Selection) -> Listed[GroupRecord]:
        """Return a page of all groups; `groups.LISTING.fields` says by what they are filtered and sorted."""
        return await rows.page(self._metadata, selection)

    async def search(self, text: str, selection: Selection) -> Listed[GroupRecord]:
        """Return a page of the groups whose name has `text` in it."""
        named = Condition(field="group_name", match=Match.CONTAINS, values=(text,))
        narrowed = Selection(conditions=(named,), limit=selection.limit, offset=selection.offset)
        return await rows.page(self._metadata, narrowed)

    async def create(
        self, name: str, *, by: Source, provider: str = rows.LOCAL, subject: str | None = None
    ) -> GroupRecord:
        """Make a group, without members and without any right.

        Args:
            name: Of the group.
            by: What the audit log says of who makes it.
            provider: Who says who is in it: `local`, `ldap` or `oidc:NAME`.
            subject: The provider's name for it: a DN, a claim's value.

        Raises:
            Invalid: The name cannot be, or a provider's group has no subject.
            Conflict: There is a group of this name, or of this provider and subject.
        """
        name = checked_name(name, "group name")
        _check_subject(provider, subject)

        async def work(tx: Transaction) -> GroupRecord:
            made = await rows.add(tx, name, provider=provider, subject=subject)
            if made is None:
                raise Conflict(f"there is a group {name} already; choose another name")
            await events.add(tx, events.CREATE, by=by, subject=f"group:{name}", detail={"provider": provider})
            return made

        try:
            return await self._metadata.write(work, name="create group")
        except ConstraintViolated:
            raise Conflict(f"there is a group for {subject} of {provider} already") from None

    async def rename(self, group_id: int, name: str, *, by: Source, expected: int | None = None) -> GroupRecord:
        """Give a group another name; its grants and members stay.

        Raises:
            PreconditionFailed: It was changed since `expected`.
            NotFound: There is no such group.
            Invalid: The name cannot be.
            Conflict: There is a group of this name.
        """
        name = checked_name(name, "group name")

        async def work(tx: Transaction) -> GroupRecord:
            old = await _required(tx, group_id)
            require_unchanged(f"the group {old.name}", old.updated_at, expected)
            await principals.rename(tx, group_id, name)
            await events.add(tx, events.UPDATE, by=by, subject=f"group:{name}", detail={"was": old.name})
            return await _required(tx, group_id)

        try:
            return await self._metadata.write(work, name="rename group")
        except ConstraintViolated:
            raise Conflict(f"there is a group {name} already; choose another name") from None

    async def remove(self, group_id: int, *, acting: Principal | None, by: Source) -> None:
        """Remove a group; what its members had through it, they have no more.

        Raises:
            NotFound: There is no such group.
            Forbidden: The group may more than who acts.
        """
        await require_to_outrank(self._metadata, self._authorizer, acting, group_id)

        async def work(tx: Transaction) -> None:
            group = await _required(tx, group_id)
            await principals.remove(tx, group_id)
            await events.add(tx, events.DELETE, by=by, subject=f"group:{group.name}")

        await self._metadata.write(work, name="remove group")

    async def members(self, group_id: int, selection: Selection) -> Listed[GroupMember]:
        """Return a page of a group's members; `memberships.MEMBER_FIELDS` says by what they are filtered.

        Raises:
            NotFound: There is no such group.
        """
        await _required(self._metadata, group_id)
        return await memberships.members(self._metadata, group_id, selection)

    async def add_member(self, group_id: int, user_id: int, *, acting: Principal | None, by: Source) -> None:
        """Put somebody into a group.

        Raises:
            NotFound: There is no such group or user.
            Conflict: They are in it.
            PreconditionFailed: Who is in it is for its provider to say.
            Forbidden: The group may more than who acts, or who acts is the one to be put in.
        """
        await self._require_to_fill(group_id, acting)

        async def work(tx: Transaction) -> None:
            group, user = await _both(tx, group_id, user_id)
            if not await memberships.add(tx, user_id, group_id):
                raise Conflict(f"{user.name} is in the group {group.name} already")
            await end_if_administrators(tx, user_id, [group_id])
            detail = {"member": user.name}
            await events.add(tx, events.GRANT, by=by, subject=f"group:{group.name}", detail=detail)

        await self._metadata.write(work, name="add member to group")

    async def remove_member(self, group_id: int, user_id: int, *, acting: Principal | None, by: Source) -> None:
        """Take somebody out of a group.

        Raises:
            NotFound: There is no such group or user, or they are not in it.
            PreconditionFailed: Who is in it is for its provider to say.
            Forbidden: The group may more than who acts.
        """
        await self._require_to_fill(group_id, acting)

        async def work(tx: Transaction) -> None:
            group, user = await _both(tx, group_id, user_id)
            if not await memberships.remove(tx, user_id, group_id):
                raise NotFound(f"{user.name} is not in the group {group.name}")
            detail = {"member": user.name}
            await events.add(tx, events.REVOKE, by=by, subject=f"group:{group.name}", detail=detail)

        await self._metadata.write(work, name="remove member from group")

    async def _require_to_fill(self, group_id: int, acting: Principal | None) -> None:
        group = await _required(self._metadata, group_id)
        if group.provider != rows.LOCAL:
            raise PreconditionFailed(f"{group.provider} says who is in the group {group.name}; change it there")
        await require_to_outrank(self._metadata, self._authorizer, acting, group_id)


async def _required(reader: Reader, group_id: int) -> GroupRecord:
    group = await rows.find_by_id(reader, group_id)
    if group is None:
        raise NotFound("there is no such group")
    return group


async def _both(tx: Transaction, group_id: int, user_id: int) -> tuple[GroupRecord, UserRecord]:
    group, user = await _required(tx, group_id), await users.find_by_id(tx, user_id)
    if user is None:
        raise NotFound("there is no such user")
    return group, user


def _check_subject(provider: str, subject: str | None) -> None:
    if (provider == rows.LOCAL) != (not subject):
        raise Invalid("a group of a directory or provider has the name that it has there, and a local one has none")
    if subject is not None and len(subject) > _LONGEST_SUBJECT:
        raise Invalid(f"a provider's name for a group has {_LONGEST_SUBJECT} characters at most")
