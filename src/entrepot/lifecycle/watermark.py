"""Clean-up when the disk runs low: what may go goes in order, until as much is free as there should be.

First what the trash keeps, the oldest first; then what the retention policies that have a schedule would remove, which
goes through the trash as well; then, where that is wished for, manifests that have no tag. The grace is never
shortened: what was let go frees its bytes when that is over, and counts as free from the moment at which it went.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.lifecycle.disks import Bounds, Disk
from entrepot.lifecycle.trash.expiry import Expiry
from entrepot.metadata.database import Database
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.lifecycle import review
from entrepot.telemetry.progress import Progress

_log = logging.getLogger(__name__)

_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Step:
    """Something that lets things go; it returns when it has."""

    name: str
    run: Callable[[Progress], Awaitable[object]]


#: Gives the steps that come after the trash, in order.
Steps = Callable[[], Awaitable[Sequence[Step]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """Looks after the free space."""

    metadata: Database
    disk: Disk  #: that of the blobs
    bounds: Bounds
    expiry: Expiry
    steps: Steps
    collect: Callable[[Progress], Awaitable[object]]

    async def tend(self, progress: Progress, *, whole: bool = True) -> bool:
        """Let go of what may go until enough is free, or will be when the grace is over; tell whether that is so.

        Args:
            progress: Watches.
            whole: Also what comes after the trash.

        Raises:
            Stopped: Somebody asked for an end.
        """
        done = await self._empty(progress) <= 0
        for step in [] if done or not whole else await self.steps():
            await progress.say(f"disk is low: {step.name}")
            _log.warning("the disk is low: %s", step.name)
            await step.run(progress)
            if done := await self._empty(progress) <= 0:
                break
        await self.collect(progress)
        return done

    async def _empty(self, progress: Progress) -> int:
        """Empty the trash as far as need be; return how many bytes are missing still."""
        missing = await self._missing()
        if missing > 0:
            await self.expiry.expire(progress, release=missing)
            missing = await self._missing()
        return missing

    async def _missing(self) -> int:
        """Return how many bytes are to be let go still: those on their way to collection are counted as free."""
        space = await self.disk.space()
        wanted = space.total * self.bounds.high // _PERCENT
        try:
            return wanted - space.free - await review.unneeded_bytes(self.metadata)
        except TookTooLong:
            return 0  # so much is on its way that it cannot be added up
