"""Tags of repositories, listed; pushes and deletes of manifests move them."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata.contents import repositories
from entrepot.metadata.contents import tags as rows
from entrepot.metadata.database import Database
from entrepot.oci.errors import NameUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Page, cut_page


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of repositories."""

    metadata: Database
    lookup: Lookup

    async def list(self, name: RepositoryName, *, limit: int, last: str = "") -> Page:
        """Return up to `limit` tags after `last`, in bytewise order.

        Raises:
            NameUnknown: There is no such repository, or nothing but blobs was ever pushed to it.
        """
        repository = await self._stored_name(name)
        found = await rows.page(self.metadata, repository, limit=limit + 1, last=last)
        if not found and not last and not await rows.is_used(self.metadata, repository):
            raise NameUnknown(detail={"name": name})
        return cut_page(found, limit)

    async def _stored_name(self, name: RepositoryName) -> str:
        found = await repositories.find_exact(self.metadata, name)
        if found is None or not found.adopted:
            found = await self.lookup.repository(name)
        return found.name
