"""What becomes of manifests whose index or subject has gone: they go the same way, unless something else needs them.

Deleting an index leaves what it lists where it is, for a client may be about to list it anew; after the grace, whoever
reviews what was queued asks here.
"""

from __future__ import annotations

from entrepot.metadata import clock, events, trash_namespaces
from entrepot.metadata.contents import manifests, repositories, tags
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import Deletion
from entrepot.registry.accessories import Accessories
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import Disposal


async def follow(
    tx: Transaction, manifest_id: int, settings: RegistrySettings, *, actor: Actor, purging: bool = False
) -> int:
    """Let a manifest, by its row id, go the way of what it belonged to; return how many went with its accessories.

    It stays if it has a tag, if an index of its repository lists it, or if its subject is there. Else it goes into the
    trash with what it belonged to, for as long as that is kept; where that has gone for good, so does this.
    """
    found = await manifests.locked_with_subject(tx, manifest_id)
    if found is None:
        return 0
    manifest, subject = found
    repository = await repositories.find_by_id(tx, manifest.repository_id)
    if repository is None or trash_namespaces.is_shadow(repository.name):
        return 0
    if await _is_needed(tx, manifest, subject):
        return 0
    leader = None if purging else await _leader(tx, repository, manifest, subject)
    disposal = Disposal(repository=repository, deletion=leader, grace_seconds=settings.grace_seconds, purging=purging)
    before = await Accessories(disposal=disposal, rules=settings.tag_rules, actor=actor).take(tx, manifest.digest)
    unread = await disposal.manifest(tx, manifest, [])
    gone = {"repository": repository.name, "digest": manifest.digest, "tags": [], "blobs": unread}
    await outbox.add(tx, outbox.MANIFEST_DELETED, **gone)
    await events.add(tx, events.DELETE, by=actor, repository=repository.name, digest=manifest.digest)
    return before + 1


async def _is_needed(tx: Transaction, manifest: ManifestRow, subject: str | None) -> bool:
    if await tags.of_manifest(tx, manifest.id) or await manifests.parents(tx, manifest.id):
        return True
    return subject is not None and bool(await manifests.present(tx, manifest.repository_id, [subject]))


async def _leader(
    tx: Transaction, repository: RepositoryRecord, manifest: ManifestRow, subject: str | None
) -> Deletion | None:
    """Return the deletion of what a manifest belonged to, the longest kept; None when none is in the trash."""
    place = await repositories.find_exact(tx, trash_namespaces.of_manifests(repository.id))
    if place is None:
        return None
    leaders = [] if subject is None else (await trash.of_digest(tx, place.id, subject))[:1]
    if (listing := await trash.find_listing(tx, place.id, manifest.digest)) is not None:
        leaders.append(listing)
    if not leaders:
        return None
    last = max(leaders, key=lambda entry: entry.expires_at)
    return Deletion(id=last.deletion, actor=last.actor, deleted_at=clock.now(), expires_at=last.expires_at)
