"""Which manifests go in the end, once some have been deleted and every grace is over.

A manifest goes with what it belongs to: it has no tag, and every index that lists it goes, and its subject if that is
there. One that belongs to nothing goes only if something that it belonged to has gone before, and a collection was
told (see `registry.dependents`). Whatever decides about a manifest is reached from it upwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.metadata.database import Reader
from entrepot.metadata.usage import deletion_closure

#: Manifests that one question may look at.
MOST_LOOKED_AT: Final = 50_000
_MANY: Final = 2_000


@dataclass(slots=True, kw_only=True)
class Fates:
    """Says which manifests go when all of `gone` are deleted, and the tags of the row ids `untagged`."""

    reader: Reader
    gone: set[int] = field(default_factory=set)
    untagged: Collection[int] = ()
    _needs: dict[int, set[int]] = field(default_factory=dict)
    _queued: set[int] = field(default_factory=set)
    _tagged: set[int] = field(default_factory=set)

    async def going(self, ids: Collection[int]) -> set[int]:
        """Return those of some manifests that go.

        Raises:
            Invalid: Too many others have to be looked at to tell.
        """
        await self._load(ids)
        # A few do not hold up the event loop; a thread for each question would.
        settled = self._settle() if len(self._needs) < _MANY else await asyncio.to_thread(self._settle)
        return settled & set(ids)

    async def _load(self, ids: Collection[int]) -> None:
        """Look at manifests, and at all that decides about them."""
        waiting = set(ids) - self._needs.keys() - self.gone
        while waiting:
            if len(self._needs) + len(waiting) > MOST_LOOKED_AT:
                raise Invalid(f"more than {MOST_LOOKED_AT:,} manifests have to do with this; ask about less at a time")
            self._queued |= {one.id for one in await deletion_closure.standing(self.reader, waiting) if one.queued}
            self._tagged |= await deletion_closure.tagged(self.reader, waiting, but=self.untagged)
            found = await deletion_closure.needs(self.reader, waiting)
            self._needs.update(found)
            decisive = (found[one] for one in waiting - self._tagged)
            waiting = set[int]().union(*decisive) - self._needs.keys() - self.gone

    def _settle(self) -> set[int]:
        """Let go of whatever nothing keeps, until nothing more goes."""
        going = set(self.gone)
        leads: dict[int, list[int]] = {}
        for one, needs in self._needs.items():
            for other in needs:
                leads.setdefault(other, []).append(one)
        waiting = list(self._needs)
        while waiting:
            one = waiting.pop()
            if one not in going and self._goes(one, going):
                going.add(one)
                waiting += leads.get(one, ())
        return going

    def _goes(self, one: int, going: set[int]) -> bool:
        needs = self._needs[one]
        return one not in self._tagged and needs <= going and (bool(needs) or one in self._queued)
