"""What an API key may be, and who may make one that does not exceed them."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.access.api_key_limits import MOST, KeyLimit, LimitInvalid, limits_as_grants, write_limits
from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Forbidden, Invalid
from entrepot.access.model import Principal
from entrepot.access.patterns import PatternInvalid
from entrepot.access.permissions import PermissionUnknown
from entrepot.accounts.grant_checks import require_to_have
from entrepot.accounts.privilege_checks import require_to_outrank
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.people import api_keys

_LONGEST_NAME = 100


def check_name(name: str) -> None:
    """Go on only if a key may have this name.

    Raises:
        Invalid: It may not; the message says why.
    """
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise Invalid(f"a key's name has 1 to {_LONGEST_NAME} printable characters, and no blank at its ends")


def check_end(expires_at: int | None) -> None:
    """Go on only if a key may end then.

    Raises:
        Invalid: It would have ended already.
    """
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("the key would have expired already; give it an end that lies ahead")


def checked_limits(limits: Sequence[KeyLimit] | None) -> str | None:
    """Return limits as a row keeps them.

    Raises:
        Invalid: One of them means nothing.
    """
    if limits is None:
        return None
    if not 0 < len(limits) <= MOST:
        raise Invalid(f"a key has 1 to {MOST} limits, or none at all")
    try:
        for limit in limits:
            limit.check()
    except (LimitInvalid, PermissionUnknown, PatternInvalid) as error:
        raise Invalid(str(error)) from None
    return write_limits(limits)


async def require_to_speak_for(
    reader: Reader,
    authorizer: Authorizer,
    acting: Principal | None,
    owner_id: int,
    *,
    limits: str | None,
    end: int | None,
) -> None:
    """Go on only if a key of this account can do nothing that who asks cannot do, and lives no longer.

    One's own key needs no rights: it has those of the account. Whose key has limits, or an end, hands these on. The
    operator at the machine (None) is asked nothing.

    Raises:
        Forbidden: It could.
    """
    if acting is None:
        return
    if acting.scopes is not None or acting.fleeting:
        raise Forbidden("a token that lives for minutes cannot make keys; sign in with a password or a key")
    await require_to_outrank(reader, authorizer, acting, owner_id)
    if acting.limits is not None:
        given = limits_as_grants(limits)
        if given is None:
            raise Forbidden("a key that has limits cannot make one that has none; give the new key limits")
        await require_to_have(authorizer, acting, given)
    if acting.key is not None:
        await _require_no_longer_life(reader, acting.key, end)


async def _require_no_longer_life(reader: Reader, acting_key: int, end: int | None) -> None:
    record = await api_keys.find_by_id(reader, acting_key)
    last = 0 if record is None else record.expires_at
    if last is not None and (end is None or end > last):
        raise Forbidden("a key cannot make one that outlives it; give the new key an earlier end")
