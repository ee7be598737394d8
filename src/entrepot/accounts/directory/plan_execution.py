"""Takes the steps that `sync_plan` found, within one transaction, each with its event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from entrepot.access.roles import SYSTEM_ADMIN
from entrepot.accounts.directory.model import PROVIDER, DirectoryGroup
from entrepot.accounts.directory.sync_plan import Step
from entrepot.accounts.end_sessions_on_promotion import end_if_administrators
from entrepot.metadata import clock, events
from entrepot.metadata.database import Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import grants, groups, memberships, principals, users
from entrepot.metadata.people.groups import GroupRecord

#: Characters that no name of ours has.
_UNFIT: Final = re.compile(r'[,"~#%$:<>`|;\s]+')
_LONGEST: Final = 200


async def apply(tx: Transaction, steps: Sequence[Step], by: Source) -> None:
    """Take some steps, planned in the same transaction."""
    known: dict[str, int] = {}
    for step in steps:
        if step.changes:
            await _apply(tx, step, known, by)


async def close(tx: Transaction, user_id: int, name: str, reason: str, by: Source) -> None:
    """Close an account until the directory knows the person again, and end all that was open."""
    await principals.set_expiry(tx, user_id, clock.now())
    await principals.end_sign_ins(tx, user_id)
    await _note(tx, events.REVOKE, name, by, closed=reason)


async def _apply(tx: Transaction, step: Step, known: dict[str, int], by: Source) -> None:
    if step.create:
        user_id = await _create(tx, step, by)
    else:
        assert step.known is not None  # only somebody with an account can have changes
        user_id = step.known.id
        await _change(tx, step, user_id, by)
    name = step.person.name
    if step.regroup:
        await _put_into_groups(tx, user_id, name, step.person.groups, known, by)
    if step.admin is not None:
        await _set_admin(tx, user_id, name, by, admin=step.admin)


async def _create(tx: Transaction, step: Step, by: Source) -> int:
    person = step.person
    email, realname = step.profile or (None, "")
    user = await users.add(tx, person.name, provider=PROVIDER, subject=person.identity, email=email, realname=realname)
    assert user is not None  # the plan saw that the name is free, in this transaction
    await _note(tx, events.CREATE, person.name, by, subject=person.subject)
    return user.id


async def _change(tx: Transaction, step: Step, user_id: int, by: Source) -> None:
    assert step.known is not None
    if step.closes:
        await close(tx, user_id, step.known.name, step.closes, by)
        return
    if step.opens:
        await principals.set_expiry(tx, user_id, None)
    if step.name:
        await principals.rename(tx, user_id, step.name)
    if step.move:
        await users.set_provider(tx, user_id, PROVIDER, step.person.identity)
    if step.profile is not None:
        email, realname = step.profile
        await users.set_profile(tx, user_id, email=email, realname=realname, comment=step.known.comment)
    if step.opens or step.name or step.move or step.profile is not None:
        await _note(tx, events.UPDATE, step.known.name, by, changes=step.changes)


async def _put_into_groups(
    tx: Transaction, user_id: int, name: str, wanted: Sequence[DirectoryGroup], known: dict[str, int], by: Source
) -> None:
    """Let somebody be in exactly these groups of the directory, which are made where they are new."""
    missing = [group for group in wanted if group.subject not in known]
    for record in await groups.by_subjects(tx, PROVIDER, [group.subject for group in missing]):
        known[record.subject or ""] = record.id
    for group in missing:
        if group.subject not in known:
            known[group.subject] = (await make_group(tx, group, by)).id
    into, out_of = await memberships.replace(tx, user_id, PROVIDER, (known[group.subject] for group in wanted))
    await end_if_administrators(tx, user_id, into)
    if into or out_of:
        await _note(tx, events.UPDATE, name, by, groups_added=len(into), groups_removed=len(out_of))


async def make_group(tx: Transaction, group: DirectoryGroup, by: Source) -> GroupRecord:
    """Make a group of the directory; where its name is taken, under another: names give rights to nobody.

    Raises:
        ConstraintViolated: The directory's group has one already.
    """
    name = _UNFIT.sub("_", group.name).strip()[:_LONGEST] or "group"
    attempt = 0
    while (made := await groups.add(tx, name + _suffix(attempt), provider=PROVIDER, subject=group.subject)) is None:
        attempt += 1
    detail = {"provider": PROVIDER, "of": group.subject}
    await events.add(tx, events.CREATE, by=by, subject=f"group:{made.name}", detail=detail)
    return made


def _suffix(attempt: int) -> str:
    return "" if attempt == 0 else f"@{PROVIDER}" if attempt == 1 else f"@{PROVIDER}-{attempt}"


async def _set_admin(tx: Transaction, user_id: int, name: str, by: Source, *, admin: bool) -> None:
    """Give or take the grant that the directory is the reason for; others stay."""
    if admin:
        await grants.add(tx, principal_id=user_id, role_id=SYSTEM_ADMIN, origin=PROVIDER)
        await principals.end_sign_ins(tx, user_id)
    for grant in await grants.of_principal(tx, user_id) if not admin else ():
        if grant.origin == PROVIDER:
            await grants.remove(tx, grant.id)
    await _note(tx, events.GRANT if admin else events.REVOKE, name, by, role="systemAdmin")


async def _note(tx: Transaction, kind: str, name: str, by: Source, **detail: object) -> None:
    await events.add(tx, kind, by=by, subject=f"user:{name}", detail={"provider": PROVIDER, **detail})
