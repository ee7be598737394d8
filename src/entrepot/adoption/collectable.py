"""Whether what the metadata do not know of a folder may be taken for garbage.

Not while the folder is being adopted; not after another registry has written to it, until that is taken in; and not
when there was something that could not be read, and what it needs is not known, until somebody accepts that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.ports import ForeignWatch
from entrepot.adoption.report import Report
from entrepot.adoption.state import AdoptionState
from entrepot.metadata import settings

_ACCEPTED: Final = "collection-accepts"


@dataclass(slots=True)
class Collectable:
    """Looks at a folder for a collector."""

    intake: Intake
    report: Report
    foreign: ForeignWatch
    _looked: bool = field(default=False, init=False)

    async def reason(self) -> str | None:
        """Say why nothing of the folder may be collected; None when it may."""
        metadata = self.intake.metadata
        if await state.find(metadata) not in (AdoptionState.COMPLETE, None):
            return "the folder is still being adopted"
        if await self._has_foreign_writes():
            return await self.foreign.remedy()
        hidden = await asyncio.to_thread(self.report.hidden)
        if hidden > int(await settings.find(metadata, _ACCEPTED) or 0):
            return (
                f"{hidden} things in the folder could not be read when it was adopted, and what they need would be "
                f"taken for garbage (see {self.report.place}); mend them, or let go of them: "
                "entrepot gc --accept-damage"
            )
        return None

    async def accept(self) -> int:
        """Let go of what could not be read so far; return how many things that are."""
        hidden = await asyncio.to_thread(self.report.hidden)
        await self.intake.metadata.write(lambda tx: settings.put(tx, _ACCEPTED, str(hidden)), name="accept damage")
        return hidden

    async def _has_foreign_writes(self) -> bool:
        """Look at the folder itself once, since nobody may have done so after another registry had it."""
        if not self._looked and not await self.foreign.waiting():
            self.report.append((await self.foreign.look()).seen.problems)
            self._looked = True
        return await self.foreign.waiting()
