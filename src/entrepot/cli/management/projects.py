"""Projects by name."""

from __future__ import annotations

from entrepot.cli.management.api import Api, part


async def project_id(api: Api, name: str) -> int:
    """Return the number of the project of this name.

    Raises:
        ApiRefused: There is none.
    """
    return int((await api.get(f"/projects/{part(name)}"))["project_id"])
