"""What keeps bytes that somebody thinks of deleting: manifests that stay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from entrepot.insight.removal_closure import Fates
from entrepot.metadata.database import Reader
from entrepot.metadata.usage import deletion_closure
from entrepot.metadata.usage.deletion_closure import ANYWHERE


@dataclass(slots=True)
class Holding:
    """Says what something holds that stays."""

    reader: Reader
    fates: Fates
    _going: set[int] = field(default_factory=set)

    async def blobs(self, ids: Collection[int], *, within: int = ANYWHERE) -> set[int]:
        """Return those blobs that a manifest holds which stays; of one project, if one is given."""
        held: set[int] = set()
        waiting = set(ids)
        while waiting:
            found = await deletion_closure.holders(
                self.reader, waiting, but=self.fates.gone | self._going, within=within
            )
            going = await self._told(found.values())
            held |= {row for row, holder in found.items() if holder not in going}
            waiting = found.keys() - held
        return held

    async def contents(self, digests: Collection[str], *, within: int = ANYWHERE) -> set[str]:
        """Return those digests that a manifest has which stays; of one project, if one is given."""
        held: set[str] = set()
        waiting = set(digests)
        while waiting:
            but = self.fates.gone | self._going
            found = await deletion_closure.holders_of_contents(self.reader, waiting, but=but, within=within)
            going = await self._told(found.values())
            held |= {digest for digest, holder in found.items() if holder not in going}
            waiting = found.keys() - held
        return held

    async def _told(self, holders: Collection[int]) -> set[int]:
        going = await self.fates.going(set(holders))
        self._going |= going
        return going
