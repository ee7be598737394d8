"""Manifests that have no tag and that nothing else needs: kept, unless somebody asks for them to go.

registry:2's `garbage-collect --delete-untagged` takes the images of a tagged index along, and signatures: what an index
lists and what refers to something that is there stays here. What is to go is queued, and goes after the grace: whoever
finds it until then, or pushes or tags it, keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.lifecycle.collection.model import Collecting
from entrepot.metadata import clock
from entrepot.metadata.contents import manifests
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import collection, review
from entrepot.telemetry.progress import Progress

_PIECE: Final = 500


@dataclass(frozen=True, slots=True)
class Untagged:
    """Queues them."""

    work: Collecting

    async def run(self, progress: Progress, *, dry_run: bool = False) -> int:
        """Look at every manifest that was pushed longer ago than the grace; return how many will go.

        Raises:
            CollectionOff: Nothing may be collected now.
            Stopped: Somebody asked for an end.
        """
        count, looked_at, last = 0, 0, 0
        before = clock.after(-self.work.grace_seconds)
        while found := await collection.manifests_after(self.work.metadata, last, before=before, limit=_PIECE):
            await self.work.require_open()
            looked_at += len(found)
            await progress.step(looked_at)
            loose = [manifest for manifest in found if not manifest.needed and manifest.row.review_after is None]
            for manifest in loose if dry_run else ():
                await progress.say(f"manifest eligible for deletion: {manifest.repository.name}@{manifest.row.digest}")
            if loose and not dry_run:
                ids = [manifest.row.id for manifest in loose]
                await self.work.metadata.write(partial(self._queue, ids), name="queue untagged")
            count += len(loose)
            last = found[-1].row.id
        return count

    async def _queue(self, ids: list[int], tx: Transaction) -> None:
        """The collector looks again whether they are still untagged."""
        after = clock.after(self.work.grace_seconds)
        await manifests.queue(tx, ids, review_after=after)
        await review.add(tx, review.MANIFEST, ids, after=after, reason="untagged")
