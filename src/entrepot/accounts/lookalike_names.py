"""No new account has the name of another but for capitals: `Admin` is not to be taken for `admin`."""

from __future__ import annotations

from entrepot.access.faults import Conflict
from entrepot.metadata.database import Reader
from entrepot.metadata.people import users


async def require_free(reader: Reader, name: str) -> None:
    """Go on only if no account has this name in small letters.

    Raises:
        Conflict: One has.
    """
    if name != name.lower() and await users.find(reader, name.lower()) is not None:
        raise Conflict(f"there is a user {name.lower()} already; choose a name that differs by more than capitals")
