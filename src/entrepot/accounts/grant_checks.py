"""Nobody gives what they do not have, nor takes it: asked before rights, keys or secrets are handed out or taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Forbidden
from entrepot.access.model import Grant, Principal
from entrepot.access.permissions import EVERYTHING, expand
from entrepot.metadata import clock

_SHOWN = 5


async def require_to_have(
    authorizer: Authorizer, giver: Principal | None, gifts: Iterable[Grant], *, doing: str = "give"
) -> None:
    """Go on only if the giver has everything that is given, on the whole of what each gift covers, for as long.

    The operator at the machine (None) is asked nothing.

    Raises:
        Forbidden: Something is missing; the message names it.
    """
    if giver is None:
        return
    asked = authorizer.now()
    for gift in gifts:
        missing = sorted(await asked.lacks(giver, gift))
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise Forbidden(
                f"you cannot {doing} what you do not have: {', '.join(missing[:_SHOWN])}{more} on {_place(gift)}"
                + ("" if gift.expires_at else ", without an end")
            )


async def require_to_take(authorizer: Authorizer, taker: Principal | None, taken: Iterable[Grant]) -> None:
    """Go on only if the taker may do at this moment whatever is taken, however long that would have lasted.

    Raises:
        Forbidden: What is taken may more; the message names it.
    """
    now = clock.now()
    await require_to_have(authorizer, taker, [replace(grant, expires_at=now) for grant in taken], doing="take")


async def may_everything(authorizer: Authorizer, principal: Principal) -> bool:
    """Tell whether somebody may do everything at this moment."""
    everything = Grant(permissions=expand([EVERYTHING]), expires_at=clock.now())
    return not await authorizer.now().lacks(principal, everything)


def _place(gift: Grant) -> str:
    where = [f"project {gift.project}"] if gift.project is not None else []
    where += [f"repositories {gift.repositories.text}"] if gift.repositories is not None else []
    where += [f"tags {gift.tags.text}"] if gift.tags is not None else []
    return ", ".join(where) or "the registry"
