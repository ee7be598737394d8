"""Blobs and files that are due: marked, then claimed, each step one short transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from entrepot.lifecycle.collection.manifests import put_off
from entrepot.lifecycle.collection.model import Collecting
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, manifests
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.lifecycle import collection, review
from entrepot.metadata.lifecycle.collection import BlobUnderReview
from entrepot.metadata.lifecycle.review import ReviewEntry
from entrepot.oci.errors import BlobUnknown
from entrepot.registry.ports import BlobStore, StoredBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A blob, or a file without one, that nobody but us may touch until its row is gone."""

    id: int
    digest: str
    size: int
    key: str
    entry: int  #: of the queue: it stays until the row is gone, so that whoever comes after us finds it
    is_file: bool = False  #: no blob: bytes of a manifest, or something that a crash left
    file: StoredBlob | None = None  #: what was seen of it before it was claimed


@dataclass(slots=True)
class BlobVerdicts:
    """What becomes of blobs that are due."""

    #: Nothing needs them.
    go: list[BlobUnderReview] = field(default_factory=list)
    #: Whoever claimed them died.
    resume: list[BlobUnderReview] = field(default_factory=list)
    #: Manifests need them.
    keep: list[int] = field(default_factory=list)
    #: Nothing needs them, and nobody has noted it: their grace begins now.
    queue: list[int] = field(default_factory=list)
    #: Somebody relies on them: when they may be looked at again, by their row ids.
    later: dict[int, int] = field(default_factory=dict)


def judge(found: Sequence[BlobUnderReview], now: int) -> BlobVerdicts:
    """Decide about blobs."""
    verdicts = BlobVerdicts()
    for blob in found:
        if blob.state == blobs.DELETING:
            verdicts.resume.append(blob)
        elif blob.referenced:
            if blob.review_after is not None or blob.state == blobs.MARKED:
                verdicts.keep.append(blob.id)
        elif blob.review_after is None:
            verdicts.queue.append(blob.id)
        elif blob.review_after > now:
            verdicts.later[blob.id] = blob.review_after
        else:
            verdicts.go.append(blob)
    return verdicts


def claims_of(found: Sequence[BlobUnderReview], entries: dict[int, int]) -> list[Claim]:
    """Make claims of blobs whose entries are known by their row ids."""
    return [
        Claim(id=blob.id, digest=blob.digest, size=blob.size, key=blob.storage_key, entry=entries[blob.id])
        for blob in found
    ]


async def claim_blobs(work: Collecting, entries: Sequence[ReviewEntry]) -> list[Claim]:
    """Claim those of the blobs that are due that nothing needs; the turn is ours."""
    if not entries:
        return []
    marked = await work.metadata.write(partial(_mark, work, entries), name="mark blobs")
    by_subject = {entry.subject_id: entry.id for entry in entries}
    claimed = await work.metadata.write(partial(_claim, marked.go), name="claim blobs") if marked.go else []
    return claims_of([*marked.resume, *claimed], by_subject)


async def _mark(work: Collecting, entries: Sequence[ReviewEntry], tx: Transaction) -> BlobVerdicts:
    """Mark what is to go; return it with the generations that it has then."""
    found = await collection.blobs_locked(tx, sorted({entry.subject_id for entry in entries}))
    verdicts = judge(found, clock.now())
    # What cannot be read is not shown to anybody by being marked: it is claimed as it is.
    readable = {blob.id for blob in verdicts.go if blob.state in (blobs.LIVE, blobs.MARKED)}
    await collection.mark(tx, sorted(readable))
    await collection.settle(tx, verdicts.keep)
    after = clock.after(work.grace_seconds)
    await blobs.queue(tx, verdicts.queue, review_after=after)
    verdicts.go = [
        replace(blob, generation=blob.generation + 1) if blob.id in readable else blob for blob in verdicts.go
    ]
    going = {blob.id for blob in (*verdicts.go, *verdicts.resume)}
    await put_off(tx, entries, verdicts.later | dict.fromkeys(verdicts.queue, after), stay=going)
    return verdicts


async def _claim(marked: Sequence[BlobUnderReview], tx: Transaction) -> list[BlobUnderReview]:
    """Claim what nobody has won back since it was marked; what was, has its entry still, and is looked at again."""
    seen = {blob.id: blob.generation for blob in marked}
    found = await collection.blobs_locked(tx, list(seen))
    claimed = [blob for blob in found if blob.generation == seen[blob.id] and not blob.referenced]
    await collection.claim(tx, [blob.id for blob in claimed])
    return claimed


async def claim_files(work: Collecting, entries: Sequence[ReviewEntry]) -> list[Claim]:
    """Claim those of the files that are due that nothing speaks of; the turn is ours."""
    if not entries:
        return []
    files = {str(entry.digest): await find_file(work.store, str(entry.digest)) for entry in entries}
    return await work.metadata.write(partial(_claim_files, work, entries, files), name="claim files")


async def _claim_files(
    work: Collecting, entries: Sequence[ReviewEntry], files: dict[str, StoredBlob | None], tx: Transaction
) -> list[Claim]:
    unknown = await unclaimed(tx, list(files))
    dead = {row.digest: row for row in await collection.blobs_named(tx, list(files)) if row.state == blobs.DELETING}
    resumed: dict[str, Claim] = {}
    ripe: dict[str, tuple[ReviewEntry, StoredBlob]] = {}
    later: dict[int, int] = {}
    now = clock.now()
    for entry in entries:
        digest = str(entry.digest)
        file = files[digest]
        if digest in dead:
            resumed.setdefault(digest, _resumed(dead[digest], entry))
        elif digest in unknown and file is not None:
            if (at := ripe_at(file, work.grace_seconds)) > now:
                later[entry.id] = at
            else:
                ripe.setdefault(digest, (entry, file))
    claims = [*resumed.values(), *await _claim_ripe(tx, ripe)]
    stay = {*later, *(claim.entry for claim in claims)}
    await review.postpone(tx, later)
    await review.remove(tx, [entry.id for entry in entries if entry.id not in stay])
    return claims


async def _claim_ripe(tx: Transaction, files: Mapping[str, tuple[ReviewEntry, StoredBlob]]) -> list[Claim]:
    """Claim those of the files beside which nobody has put a row meanwhile."""
    ids = await collection.claim_files(tx, {digest: file.size for digest, (_, file) in files.items()})
    return [
        Claim(id=ids[digest], digest=digest, size=file.size, key=digest, entry=entry.id, is_file=True, file=file)
        for digest, (entry, file) in files.items()
        if digest in ids
    ]


def _resumed(row: BlobUnderReview, entry: ReviewEntry) -> Claim:
    """Claim what somebody had claimed who died: perhaps its bytes are gone already."""
    return Claim(
        id=row.id, digest=row.digest, size=row.size, key=row.storage_key, entry=entry.id, is_file=True, file=None
    )


async def unclaimed(reader: Reader, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` of which nothing speaks: no manifest and no blob."""
    contents = await manifests.known_contents(reader, digests)
    rows = await collection.blobs_named(reader, digests)
    shared = await collection.shared_keys(reader, digests)
    return set(digests) - contents - shared - {row.digest for row in rows}


async def find_file(store: BlobStore, key: str) -> StoredBlob | None:
    """Describe bytes; None when there are none."""
    try:
        return await store.stat(key)
    except BlobUnknown:
        return None


def ripe_at(file: StoredBlob, grace_seconds: float) -> int:
    """Return when a file of which nothing speaks may be taken away: a push puts it there before it writes its row."""
    return (file.placed_at or 0) + int(grace_seconds * clock.MICROSECONDS)
