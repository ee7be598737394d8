"""Grants as people manage them: who may do what on the registry, and everything that was given."""

from __future__ import annotations

from dataclasses import replace

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, NotFound, PreconditionFailed
from entrepot.access.model import Principal
from entrepot.access.permissions import known
from entrepot.access.policy import grant_of
from entrepot.access.roles import SYSTEM_ADMIN
from entrepot.accounts.end_sessions_on_promotion import end_what_was_open
from entrepot.accounts.grant_checks import require_to_have, require_to_take
from entrepot.accounts.grant_requests import CheckedGift, Gift, checked_gift
from entrepot.metadata import events
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.errors import ConstraintViolated
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.people import grants as rows
from entrepot.metadata.people import members, principals, users
from entrepot.metadata.people.grants import GrantRecord

#: Origin of grants that people made.
ORIGIN = "given"
#: Grants that one account, group or audience may have.
MOST_GRANTS = 5_000


class Grants:
    """The use cases about grants; whether the caller may, the caller's side has asked before.

    Nobody gives what they do not have, nor takes it from others. `acting` is who does it; None is the operator
    at the machine.
    """

    def __init__(self, metadata: Database, authorizer: Authorizer) -> None:
        self._metadata = metadata
        self._authorizer = authorizer

    async def page(self, selection: Selection) -> Listed[GrantRecord]:
        """Return a page of all grants; `members.GRANTS.fields` says by what they are filtered and sorted."""
        return await members.every_grant(self._metadata, selection)

    async def of(self, principal_id: int) -> list[GrantRecord]:
        """Return the grants made to one user, robot or group itself."""
        return await rows.of_principal(self._metadata, principal_id)

    async def get(self, grant_id: int) -> GrantRecord:
        """Return the grant of this id.

        Raises:
            NotFound: There is none.
        """
        return await required_grant(self._metadata, grant_id)

    async def give(self, gift: Gift, *, acting: Principal | None, by: Source, origin: str = ORIGIN) -> GrantRecord:
        """Give a role or permissions.

        Raises:
            Invalid: The gift cannot be.
            NotFound: There is no such account, role or project.
            Conflict: The account has too many grants.
            Forbidden: Who acts has not all of it.

        With the right to do everything ends what was open before.
        """
        checked = await checked_gift(self._metadata, gift)
        if acting is not None:
            await require_to_have(self._authorizer, acting, [checked.grant])

        async def work(tx: Transaction) -> GrantRecord:
            subject = await _subject(tx, gift)
            grant_id = await rows.add(
                tx,
                principal_id=gift.principal_id,
                audience=gift.audience,
                role_id=gift.role_id,
                permissions=gift.permissions,
                project_id=None if checked.project is None else checked.project.id,
                repositories=gift.extent.repositories,
                tags=gift.extent.tags,
                expires_at=gift.extent.expires_at,
                origin=origin,
            )
            if gift.principal_id is not None and _makes_administrators(checked):
                await end_what_was_open(tx, gift.principal_id)
            await _note_given(tx, events.GRANT, subject, checked, grant_id, by)
            return await required_grant(tx, grant_id)

        try:
            return await self._metadata.write(work, name="give grant")
        except ConstraintViolated:
            raise NotFound("the role or the project has gone in the meantime") from None

    async def change(self, grant: GrantRecord, gift: Gift, *, acting: Principal | None, by: Source) -> GrantRecord:
        """Let a grant give another role, on another part, until another moment; to whom and on which project stays.

        Raises:
            Invalid: The change cannot be.
            NotFound: There is no such grant or role.
            Forbidden: Who acts has not all of it, or not all that the grant gave before.
        """
        await self._require_to_take(grant, acting)
        wanted = replace(gift, principal_id=grant.principal_id, audience=None, project=grant.project)
        checked = await checked_gift(self._metadata, wanted)
        if acting is not None:
            await require_to_have(self._authorizer, acting, [checked.grant])

        async def work(tx: Transaction) -> GrantRecord:
            subject = await _subject(tx, wanted)
            assert wanted.role_id is not None
            await rows.set_role(tx, grant.id, wanted.role_id)
            extent = wanted.extent
            await rows.set_scope(
                tx, grant.id, repositories=extent.repositories, tags=extent.tags, expires_at=extent.expires_at
            )
            await _note_given(tx, events.UPDATE, subject, checked, grant.id, by)
            return await required_grant(tx, grant.id)

        return await self._metadata.write(work, name="change grant")

    async def take(self, grant_id: int, *, acting: Principal | None, by: Source) -> None:
        """Take a grant back.

        Raises:
            NotFound: There is none of this id.
            Forbidden: It gives somebody else what who acts has not.
            PreconditionFailed: It makes the last administrator one.
        """
        await self._require_to_take(await self.get(grant_id), acting)

        async def work(tx: Transaction) -> None:
            grant = await required_grant(tx, grant_id)
            await _require_other_admin(tx, grant)
            await rows.remove(tx, grant_id)
            detail = {"grant": grant_id, "gave": grant.role or ",".join(sorted(grant.permissions))}
            await events.add(tx, events.REVOKE, by=by, project=grant.project, subject=subject_of(grant), detail=detail)

        await self._metadata.write(work, name="take grant")

    async def _require_to_take(self, grant: GrantRecord, acting: Principal | None) -> None:
        """Go on if who acts has what a grant gives, or the grant is to them."""
        if acting is None or (acting.id is not None and acting.id == grant.principal_id):
            return
        await require_to_take(self._authorizer, acting, [grant_of(grant)])


async def required_grant(reader: Reader, grant_id: int) -> GrantRecord:
    """Return the grant of this id.

    Raises:
        NotFound: There is none.
    """
    grant = await rows.find(reader, grant_id)
    if grant is None:
        raise NotFound("there is no such grant")
    return grant


def subject_of(grant: GrantRecord) -> str:
    """Return how the audit log names whom a grant is made to."""
    return f"{grant.principal_kind}:{grant.principal_name}" if grant.principal_kind else f"audience:{grant.audience}"


def _makes_administrators(checked: CheckedGift) -> bool:
    grant = checked.grant
    bounded = grant.project is not None or grant.repositories is not None or grant.tags is not None
    return not bounded and grant.permissions >= known()


async def _subject(tx: Transaction, gift: Gift) -> str:
    if gift.principal_id is None:
        return f"audience:{gift.audience}"
    account = await principals.find_by_id(tx, gift.principal_id)
    if account is None:
        raise NotFound("there is no such account or group")
    if len(await rows.of_principal(tx, account.id)) >= MOST_GRANTS:
        raise Conflict(
            f"{account.name} has {MOST_GRANTS} grants; give roles on projects instead of single repositories"
        )
    return f"{account.kind}:{account.name}"


async def _note_given(
    tx: Transaction, kind: str, subject: str, checked: CheckedGift, grant_id: int, by: Source
) -> None:
    extent = checked.gift.extent
    detail: dict[str, object] = {"grant": grant_id, "gives": checked.what}
    more = {"repositories": extent.repositories, "tags": extent.tags, "expires_at": extent.expires_at}
    detail |= {name: value for name, value in more.items() if value is not None}
    await events.add(tx, kind, by=by, project=checked.gift.project, subject=subject, detail=detail)


async def _require_other_admin(tx: Transaction, grant: GrantRecord) -> None:
    if grant.role_id != SYSTEM_ADMIN or grant.principal_id is None or grant.project_id is not None:
        return
    user = await users.find_by_id(tx, grant.principal_id)
    if user is not None and user.sysadmin and not await users.has_other_admin(tx, user.id):
        raise PreconditionFailed(f"{user.name} is the last administrator with a password; make another one first")
