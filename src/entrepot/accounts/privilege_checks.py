"""Nobody takes over an account that may more than they may themselves, nor takes anything from it.

Whoever sets somebody's password, closes or removes their account acts with their rights in effect: so they need all of
these. An operator at the machine, who could write to the database, is asked nothing.
"""

from __future__ import annotations

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Grant, Principal
from entrepot.access.policy import grant_of
from entrepot.accounts.grant_checks import require_to_have, require_to_take
from entrepot.metadata.database import Reader
from entrepot.metadata.people import grants


async def require_to_outrank(
    reader: Reader, authorizer: Authorizer, acting: Principal | None, principal_id: int
) -> None:
    """Go on only if who acts has every right of an account, of a group, or acts on their own account.

    Args:
        reader: The metadata.
        authorizer: Knows what who acts may do.
        acting: Who acts; None for the operator at the machine.
        principal_id: The account or group.

    Raises:
        Forbidden: The account has a right that who acts has not.
    """
    if acting is None or acting.id == principal_id:
        return
    await require_to_have(authorizer, acting, await _rights(reader, principal_id))


async def require_to_take_from(
    reader: Reader, authorizer: Authorizer, acting: Principal | None, principal_id: int
) -> None:
    """Go on only if who acts may do now whatever an account may, so that they may close, narrow or remove it.

    Raises:
        Forbidden: The account has a right that who acts has not.
    """
    if acting is None or acting.id == principal_id:
        return
    await require_to_take(authorizer, acting, await _rights(reader, principal_id))


async def _rights(reader: Reader, principal_id: int) -> list[Grant]:
    records = await grants.list_for(reader, principal_id)
    return [grant_of(record, principal_id) for record in records if record.audience is None]
