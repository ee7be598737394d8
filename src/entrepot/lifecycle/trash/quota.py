"""Whether a project has room for what comes out of the trash."""

from __future__ import annotations

from typing import Final, Protocol

from entrepot.metadata.database import Transaction


class Quota(Protocol):
    """Decides within the transaction that restores, after what it did."""

    async def require_room(self, tx: Transaction, project_id: int, /) -> None:
        """Go on only if a project does not hold more now than it may.

        Raises:
            Denied: It does; the message says how much there is and how much may be.
        """
        ...

    async def require_repository(self, tx: Transaction, project_id: int, /) -> None:
        """Go on only if a project does not have more repositories now than it may.

        Raises:
            Denied: It does.
        """
        ...


class _NoQuota:
    """Every project has room."""

    async def require_room(self, _tx: Transaction, _project_id: int, /) -> None:
        """See `Quota`."""

    async def require_repository(self, _tx: Transaction, _project_id: int, /) -> None:
        """See `Quota`."""


NO_QUOTA: Final = _NoQuota()
