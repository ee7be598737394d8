"""What was opened before somebody became an administrator ends.

Somebody may have got hold of it while it opened little: a session on a borrowed machine, a token in a log. Keys and
passwords stay.
"""

from __future__ import annotations

from collections.abc import Iterable

from entrepot.access.permissions import expand, known
from entrepot.metadata.database import Transaction
from entrepot.metadata.people import grants, memberships, principals


async def end_what_was_open(tx: Transaction, principal_id: int) -> None:
    """End the sign-ins of an account that has become an administrator, or of each member of a group that has."""
    for account in (principal_id, *await memberships.ids_of_members(tx, principal_id)):
        await principals.end_sign_ins(tx, account)


async def end_if_administrators(tx: Transaction, account: int, groups: Iterable[int]) -> None:
    """End the sign-ins of somebody who was put into groups, if one of them is one of administrators."""
    given = await grants.on_everything(tx, groups)
    if any(expand(grant.permissions) >= known() for grant in given):
        await principals.end_sign_ins(tx, account)
