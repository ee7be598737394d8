"""Writing what was read from a folder into the metadata, inside a write transaction that somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.adoption.contents import Piece
from entrepot.adoption.links import TagLink
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, manifests, repository_blobs, tags
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import review
from entrepot.metadata.usage import charges
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Unavailable
from entrepot.registry.ports import StoredBlob, TagRules
from entrepot.registry.quarantine import heal
from entrepot.registry.references import blob_references
from entrepot.registry.tag_rules import NO_RULES

#: Written to the history of tags that were there before us.
ACTOR = "registry:2"
_GRACE_SECONDS = 3600.0


async def take_manifests(tx: Transaction, repository: RepositoryRecord, piece: Piece) -> int:
    """Add manifests with the blobs they refer to; return how many were new."""
    ids = await _take_referenced(tx, repository, piece)
    return sum([await _add_manifest(tx, repository, manifest, ids) for manifest in piece.manifests])


async def take_layers(tx: Transaction, repository: RepositoryRecord, stored: dict[Digest, StoredBlob]) -> int:
    """Give the repository blobs that no manifest of it need refer to; return how many were not known at all."""
    known = await blobs.find_many(tx, [str(digest) for digest in stored])
    new = {digest: found for digest, found in stored.items() if str(digest) not in known}
    ids = [await _put(tx, digest, found) for digest, found in new.items()]
    after = clock.after(_GRACE_SECONDS)
    await blobs.keep(tx, ids, review_after=after)
    await review.add(tx, review.BLOB, ids, after=after, reason="adopted without a manifest")
    await repository_blobs.link_all(
        tx, repository.id, [*ids, *(row.id for row in known.values() if row.state != blobs.DELETING)]
    )
    return len(ids)


@dataclass(frozen=True, slots=True)
class TakenTags:
    """How many tags were set, and which were not."""

    moved: int
    dangling: list[TagLink]  #: the repository does not have their manifest
    immutable: list[tuple[TagLink, int]]  #: a rule of the project keeps them, and which


async def take_tags(
    tx: Transaction,
    repository: RepositoryRecord,
    links: Sequence[TagLink],
    *,
    pushes_win: bool,
    rules: TagRules = NO_RULES,
) -> TakenTags:
    """Let tags name what they name in the folder, unless a rule keeps them where they are.

    Where `pushes_win`, only those that nobody has pushed to us since.
    """
    if pushes_win:
        pushed = await tags.touched(tx, repository.id, [link.tag for link in links], but_by=ACTOR)
        links = [link for link in links if link.tag not in pushed]
    targets = await manifests.present(tx, repository.id, [str(link.digest) for link in links])
    before = await tags.current(tx, repository.id, [link.tag for link in links])
    moved = [link for link in links if before.get(link.tag) != str(link.digest)]
    immutable = await _immutable(tx, repository, [link for link in moved if link.tag in before], rules)
    kept = {link.tag for link, _ in immutable}
    found = [link for link in moved if str(link.digest) in targets and link.tag not in kept]
    for link in found:
        digest = str(link.digest)
        await tags.put(tx, repository.id, [link.tag], targets[digest], at=link.at)
        await tags.remember(tx, repository.id, [link.tag], digest=digest, action=tags.SET, actor=ACTOR, at=link.at)
    return TakenTags(len(found), [link for link in links if str(link.digest) not in targets], immutable)


async def _immutable(
    tx: Transaction, repository: RepositoryRecord, moved: Sequence[TagLink], rules: TagRules
) -> list[tuple[TagLink, int]]:
    rule_of = await rules.of(tx, repository) if moved else None
    if rule_of is None:
        return []
    return [(link, rule) for link in moved if (rule := rule_of(link.tag)) is not None]


async def _take_referenced(tx: Transaction, repository: RepositoryRecord, piece: Piece) -> dict[Digest, int]:
    """Make referenced blobs known and the repository's own; return their row ids."""
    known = await blobs.find_many(tx, [str(digest) for digest in (*piece.stored, *piece.missing)])
    if any(row.state == blobs.DELETING for row in known.values()):
        raise Unavailable(5, "A blob is being deleted; try again in a moment.")
    ids = {digest: row.id for digest in (*piece.stored, *piece.missing) if (row := known.get(str(digest)))}
    for digest, stored in piece.stored.items():
        row = known.get(str(digest))
        if row is None or (row.state == blobs.MISSING and row.size == stored.size):
            ids[digest] = await _put(tx, digest, stored)
            if row is not None:
                await heal(tx, row.id, row.digest, by="adoption")
    for digest, size in piece.missing.items():
        row = known.get(str(digest))
        if row is None:
            ids[digest] = await blobs.put_missing(tx, str(digest), size=size)
        elif row.size != size:  # taken in from elsewhere, by the size of a damaged file
            await blobs.lose(tx, [row.id])
    queued = [row.id for row in known.values() if row.review_after is not None or row.state == blobs.MARKED]
    await blobs.keep(tx, queued, review_after=None)
    await repository_blobs.link_all(tx, repository.id, ids.values())
    return ids


async def _put(tx: Transaction, digest: Digest, stored: StoredBlob) -> int:
    """Make a blob known; its bytes are there, but nobody has hashed them since they were pushed."""
    blob_id = await blobs.put(
        tx,
        str(digest),
        size=stored.size,
        storage_key=stored.key,
        review_after=None,
        inode=stored.inode,
        mtime_ns=stored.mtime_ns,
        etag=stored.etag,
        verified=False,
    )
    assert blob_id is not None, "the caller has looked for rows that are being deleted"
    return blob_id


async def _add_manifest(
    tx: Transaction, repository: RepositoryRecord, manifest: oci_manifest.Manifest, ids: dict[Digest, int]
) -> bool:
    manifest_id = await manifests.add(
        tx,
        repository.id,
        digest=str(manifest.digest),
        media_type=manifest.media_type,
        artifact_type=manifest.referrer_artifact_type,
        raw=manifest.raw,
        subject=None if manifest.subject is None else str(manifest.subject.digest),
        annotations=manifest.annotations,
    )
    if manifest_id is None:
        return False
    references = [(ids[blob.digest], role) for role, blob in blob_references(manifest) if blob.digest in ids]
    listed = [str(entry.digest) for entry in manifest.manifests if entry.digest not in ids]
    present = await manifests.present(tx, repository.id, listed)
    children = [(digest, present.get(digest)) for digest in listed]
    await manifests.refer(tx, manifest_id, blobs=references, children=children)
    await manifests.connect_parents(tx, repository.id, str(manifest.digest), manifest_id)
    held = sorted({blob_id for blob_id, _ in references})
    charged = charges.Charged(id=manifest_id, digest=str(manifest.digest), size=len(manifest.raw))
    await charges.charge(tx, repository.project_id, held, manifest=charged)
    return True
