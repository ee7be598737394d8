"""What becomes of a manifest that only something needed which has gone: it goes the same way (`registry.following`)."""

from __future__ import annotations

from functools import partial
from typing import Final

from entrepot.lifecycle.collection.model import Leave
from entrepot.metadata.collecting import ManifestUnderReview
from entrepot.metadata.database import Transaction
from entrepot.registry.following import follow
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings

#: Who the audit log says it was.
COLLECTOR: Final = Actor(name="collection")


def following(settings: RegistrySettings) -> Leave:
    """Let it follow into the trash, or for good."""
    return partial(_follow, settings)


async def _follow(settings: RegistrySettings, tx: Transaction, manifest: ManifestUnderReview) -> bool:
    return await follow(tx, manifest.row.id, settings, actor=COLLECTOR)
