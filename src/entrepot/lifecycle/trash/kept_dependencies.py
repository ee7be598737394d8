"""Keeping what something else in the trash still needs, past its own time."""

from __future__ import annotations

from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import Deletion, TrashEntry


async def keep_with_index(tx: Transaction, entry: TrashEntry) -> bool:
    """Keep a manifest, whose entry was removed, for as long as an index beside it that lists it; False when none does.

    It counts as deleted with that index from then on, and so does what refers to it and went with it.
    """
    assert entry.place_id is not None
    assert entry.digest is not None
    index = await trash.find_listing(tx, entry.place_id, entry.digest)
    if index is None:
        return False
    deletion = Deletion(id=index.deletion, actor=entry.actor, deleted_at=entry.deleted_at, expires_at=index.expires_at)
    waiting = [entry.digest]
    while waiting:
        digest = waiting.pop()
        waiting += await trash.accessories(tx, entry.place_id, digest, entry.deletion)
        await _note(tx, deletion, entry, digest)
    return True


async def _note(tx: Transaction, deletion: Deletion, entry: TrashEntry, digest: str) -> None:
    await trash.add(
        tx,
        deletion,
        kind=trash.MANIFEST,
        project_id=entry.project_id,
        project=entry.project,
        repository_id=entry.repository_id,
        repository=entry.repository,
        place_id=entry.place_id,
        digest=digest,
    )
