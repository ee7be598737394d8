"""Roles: those that come with the registry, and those that people make from the list of permissions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, Invalid, NotFound, PreconditionFailed, require_unchanged
from entrepot.access.model import Grant, Principal
from entrepot.access.permissions import Permission, PermissionUnknown, expand, parse
from entrepot.access.roles import FIRST_CUSTOM
from entrepot.accounts.grant_checks import require_to_have
from entrepot.accounts.names import checked_text
from entrepot.metadata import events
from entrepot.metadata.database import Database, Reader, Transaction, Work
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.events import Source
from entrepot.metadata.people import roles as rows
from entrepot.metadata.people.roles import RoleRecord

#: Roles that people may make.
MOST_ROLES = 1000
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,98}[A-Za-z0-9])?")


class Roles:
    """The use cases about roles; whether the caller may, the caller's side has asked before.

    Whoever makes or changes a role has all of its permissions on the whole registry: else they could write into a role
    that somebody has given them what nobody would give them. `acting` None is the operator at the machine.
    """

    def __init__(self, metadata: Database, authorizer: Authorizer) -> None:
        self._metadata = metadata
        self._authorizer = authorizer

    async def list(self) -> list[RoleRecord]:
        """Return every role, those that come with the registry first."""
        return await rows.list_all(self._metadata)

    async def find(self, name: str) -> RoleRecord | None:
        """Return the role of this name, if there is one."""
        return await rows.find_named(self._metadata, name)

    async def get(self, role_id: int) -> RoleRecord:
        """Return the role of this id.

        Raises:
            NotFound: There is none.
        """
        return await _required(self._metadata, role_id)

    async def create(
        self, name: str, permissions: Iterable[str], *, acting: Principal | None, by: Source, description: str = ""
    ) -> RoleRecord:
        """Make a role.

        Raises:
            Invalid: The name or a permission cannot be.
            Conflict: There is a role of this name, or there are too many.
            Forbidden: It has a permission that who acts has not.
        """
        wanted = await self._checked(name, description, permissions, acting)

        async def work(tx: Transaction) -> RoleRecord:
            await _require_room(tx)
            role_id = await rows.create(
                tx, first_id=FIRST_CUSTOM, name=name, description=description, permissions=wanted
            )
            await _note(tx, events.CREATE, name, by, wanted)
            return await _required(tx, role_id)

        return await self._unless_named(work, name)

    async def change(
        self,
        role_id: int,
        *,
        name: str,
        permissions: Iterable[str],
        acting: Principal | None,
        by: Source,
        description: str = "",
        expected: int | None = None,
    ) -> RoleRecord:
        """Change a role, for all who have it.

        Raises:
            NotFound: There is no such role.
            PreconditionFailed: It comes with the registry, or was changed since `expected`.
            Invalid: The name or a permission cannot be.
            Conflict: There is another role of this name.
            Forbidden: It has, or had, a permission that who acts has not.
        """
        old = await self._own(role_id)
        wanted = await self._checked(name, description, permissions, acting)
        await self._require_all_of(acting, old.permissions)

        async def work(tx: Transaction) -> RoleRecord:
            current = await rows.find(tx, role_id)
            if current is not None:
                require_unchanged(f"the role {current.name}", current.updated_at, expected)
            if not await rows.change(tx, role_id, name=name, description=description, permissions=wanted):
                raise NotFound("there is no such role")
            await _note(tx, events.UPDATE, name, by, wanted, was=old)
            return await _required(tx, role_id)

        return await self._unless_named(work, name)

    async def remove(self, role_id: int, *, by: Source) -> None:
        """Remove a role that nobody has.

        Raises:
            NotFound: There is no such role.
            PreconditionFailed: It comes with the registry, or somebody has it.
        """
        role = await self._own(role_id)

        async def work(tx: Transaction) -> None:
            uses = await rows.uses(tx, role_id)
            if uses:
                raise PreconditionFailed(f"the role {role.name} is given {uses} times; take it back first")
            if not await rows.remove(tx, role_id):
                raise NotFound("there is no such role")
            await _note(tx, events.DELETE, role.name, by, role.permissions)

        await self._metadata.write(work, name="remove role")

    async def _own(self, role_id: int) -> RoleRecord:
        role = await self.get(role_id)
        if role.built_in:
            raise PreconditionFailed(f"the role {role.name} comes with the registry and stays as it is; make another")
        return role

    async def _checked(
        self, name: str, description: str, permissions: Iterable[str], acting: Principal | None
    ) -> frozenset[Permission]:
        if _NAME.fullmatch(name) is None:
            raise Invalid("a role's name has 1 to 100 letters, digits, blanks or any of _.- inside")
        checked_text(description, "description", 1000)
        try:
            wanted = parse(permissions)
        except PermissionUnknown as error:
            raise Invalid(str(error)) from None
        if not wanted:
            raise Invalid("a role has at least one permission")
        await self._require_all_of(acting, wanted)
        return wanted

    async def _require_all_of(self, acting: Principal | None, permissions: Iterable[str]) -> None:
        if acting is not None:
            await require_to_have(self._authorizer, acting, [Grant(permissions=expand(permissions))])

    async def _unless_named(self, work: Work[RoleRecord], name: str) -> RoleRecord:
        try:
            return await self._metadata.write(work, name="write role")
        except ConstraintViolated:
            raise Conflict(f"there is a role {name} already; choose another name") from None


async def _required(reader: Reader, role_id: int) -> RoleRecord:
    role = await rows.find(reader, role_id)
    if role is None:
        raise NotFound("there is no such role")
    return role


async def _require_room(tx: Transaction) -> None:
    if len(await rows.list_all(tx)) >= MOST_ROLES:
        raise Conflict(f"there are {MOST_ROLES} roles; remove one that nobody has")


async def _note(
    tx: Transaction, kind: str, name: str, by: Source, permissions: Iterable[str], *, was: RoleRecord | None = None
) -> None:
    detail: dict[str, object] = {"permissions": sorted(permissions)}
    if was is not None:
        detail |= {"was": {"name": was.name, "permissions": sorted(was.permissions)}}
    await events.add(tx, kind, by=by, subject=f"role:{name}", detail=detail)
