"""Members of a project: the roles that people and groups have on it, or on some of its repositories and tags."""

from __future__ import annotations

from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.access.model import Principal
from entrepot.access.roles import REGISTRY2, SYSTEM_ADMIN
from entrepot.accounts.grant_requests import WHOLE, Extent, Gift
from entrepot.accounts.grants import Grants
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.people import members as rows
from entrepot.metadata.people import principals
from entrepot.metadata.people.grants import GrantRecord

#: Origin of a member's grant.
ORIGIN = "member"
_PEOPLE = (principals.USER, principals.GROUP)


class Members:
    """The use cases about members; whether the caller may, the caller's side has asked before.

    A member is a grant, and has its id. Nobody gives a role that may more than they may themselves, or takes one
    from somebody else; `acting` is who does it, None the operator at the machine.
    """

    def __init__(self, metadata: Database, grants: Grants) -> None:
        self._metadata = metadata
        self._grants = grants

    async def page(self, project: ProjectRecord, selection: Selection) -> Listed[GrantRecord]:
        """Return a page of the members; `members.MEMBERS.fields` says by what they are filtered and sorted."""
        return await rows.page(self._metadata, project.id, selection)

    async def get(self, project: ProjectRecord, member_id: int) -> GrantRecord:
        """Return one member.

        Raises:
            NotFound: The project has none of this id.
        """
        grant = await self._grants.get(member_id)
        if grant.project_id != project.id or grant.role_id is None or grant.principal_kind not in _PEOPLE:
            raise NotFound(f"project {project.name} has no such member")
        return grant

    async def add(
        self,
        project: ProjectRecord,
        principal_id: int,
        role_id: int,
        *,
        acting: Principal | None,
        by: Source,
        extent: Extent = WHOLE,
    ) -> GrantRecord:
        """Give a user or a group a role on a project, or on the part of it that `extent` says.

        Raises:
            Invalid: The role or the extent cannot be.
            NotFound: There is no such user or group, or no such role.
            Conflict: They have a role on that part already.
            Forbidden: Who acts has not all of it.
        """
        _check_role(role_id)
        account = await principals.find_by_id(self._metadata, principal_id)
        if account is None or account.kind not in _PEOPLE:
            raise NotFound("there is no such user or group")
        has = await rows.same(self._metadata, principal_id, project.id, extent.repositories, extent.tags)
        if has is not None:
            raise Conflict(f"{account.name} is a member of {project.name} already; change the role of member {has}")
        gift = Gift(principal_id=principal_id, role_id=role_id, project=project.name, extent=extent)
        return await self._grants.give(gift, acting=acting, by=by, origin=ORIGIN)

    async def change(
        self,
        project: ProjectRecord,
        member_id: int,
        role_id: int,
        *,
        acting: Principal | None,
        by: Source,
        extent: Extent | None = None,
    ) -> GrantRecord:
        """Give a member another role, and another extent if one is given.

        Raises:
            Invalid: The role or the extent cannot be.
            NotFound: The project has no such member, or there is no such role.
            Forbidden: Who acts has not all of it, or not all that the member had.
        """
        _check_role(role_id)
        member = await self.get(project, member_id)
        kept = Extent(repositories=member.repositories, tags=member.tags, expires_at=member.expires_at)
        gift = Gift(principal_id=member.principal_id, role_id=role_id, extent=extent or kept)
        return await self._grants.change(member, gift, acting=acting, by=by)

    async def remove(self, project: ProjectRecord, member_id: int, *, acting: Principal | None, by: Source) -> None:
        """Take a member's role on a project back.

        Raises:
            NotFound: The project has no such member.
            Forbidden: Somebody else's role may more than who acts.
        """
        await self.get(project, member_id)
        await self._grants.take(member_id, acting=acting, by=by)


def _check_role(role_id: int) -> None:
    if role_id in (SYSTEM_ADMIN, REGISTRY2):
        raise Invalid("this role is for the whole registry; give a member one of the other roles")
