"""What becomes of a manifest that only something needed which has gone: it goes too (`registry.dependents`)."""

from __future__ import annotations

from functools import partial
from typing import Final

from entrepot.lifecycle.collection.model import Leave
from entrepot.metadata import clock
from entrepot.metadata.contents import manifests
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import review
from entrepot.metadata.lifecycle.collection import ManifestUnderReview
from entrepot.registry.dependents import follow
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings

#: Who the audit log says it was.
COLLECTOR: Final = Actor(name="collection")


#: Seconds after which what may not go now is looked at again, at the least.
_LATER: Final = 60.0


def following(settings: RegistrySettings) -> Leave:
    """Let it follow into the trash, or for good; while deleting is switched off it waits."""
    return partial(_follow, settings)


async def _follow(settings: RegistrySettings, tx: Transaction, manifest: ManifestUnderReview) -> int:
    if not settings.delete_enabled or settings.read_only():
        after = clock.after(max(_LATER, settings.grace_seconds))
        await manifests.queue(tx, [manifest.row.id], review_after=after)
        await review.add(tx, review.MANIFEST, [manifest.row.id], after=after, reason="deleting was switched off")
        return 0
    return await follow(tx, manifest.row.id, settings, actor=COLLECTOR)
