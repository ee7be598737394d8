"""The list of all repositories."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from entrepot.metadata import catalog
from entrepot.metadata.database import Database
from entrepot.registry.adoption import AdoptionGate
from entrepot.registry.model import Page, cut_page


@dataclass(frozen=True, slots=True)
class Catalog:
    """All repositories that have a manifest."""

    metadata: Database
    gate: AdoptionGate

    async def list(self, *, limit: int, last: str = "", projects: Collection[str] | None = None) -> Page:
        """Return up to `limit` names after `last`, ordered by path component as registry:2 does.

        Args:
            limit: The most names to return.
            last: Continue after this name; it need not exist.
            projects: The projects whose repositories may be seen; None for all.
        """
        await self.gate.names_known()
        names = await catalog.names(self.metadata, limit=limit + 1, last=last, projects=projects)
        return cut_page(names, limit)
