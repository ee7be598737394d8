"""What a collection asks about blobs and manifests, and how it takes blobs away.

Whatever is decided is decided under the lock of the row: a push that refers to a blob locks its row first. So what is
asked in a later statement of the same transaction is what the last push before it has committed, and the next push
waits for the decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)

from entrepot.metadata import clock
from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.contents.blobs import DELETING, LIVE, MARKED
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.jobs import outbox
from entrepot.metadata.query import Query, in_list, list_rows, word
from entrepot.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    project_blobs,
    repositories,
    repository_blobs,
    tags,
)
from entrepot.metadata.trash_namespaces import is_shadow, listed
from entrepot.metadata.usage import reservations


@dataclass(frozen=True, slots=True)
class BlobUnderReview:
    """A blob as a collection sees it."""

    id: int
    digest: str
    size: int
    storage_key: str
    state: str
    generation: int
    review_after: int | None
    referenced: bool  #: a manifest needs it, wherever


@dataclass(frozen=True, slots=True)
class ManifestUnderReview:
    """A manifest as a collection sees it, and where it is."""

    row: ManifestRow
    repository: RepositoryRecord
    needed: bool  #: it has a tag, an index lists it, or what it refers to is there


_B, _M = blobs.c, manifests.c
_BLOB = (_B.id, _B.digest, _B.size, _B.storage_key, _B.state, _B.generation, _B.review_after)
_OF_IDS = in_list(_B.id, "ids")
_REFERENCED_BY_ANY: ColumnElement[bool] = exists(select(1).where(manifest_blobs.c.blob_id == _B.id)).correlate(blobs)
_BLOBS = Query(select(*_BLOB).where(_OF_IDS).order_by(_B.id), "collection.blobs")
_BLOBS_LOCKED = Query(select(*_BLOB).where(_OF_IDS).order_by(_B.id).with_for_update(), "collection.blobs_locked")
_BLOBS_NAMED = Query(select(*_BLOB).where(in_list(_B.digest, "digests")), "collection.blobs_named")
_REFERENCED = Query(select(_B.id).where(_OF_IDS, _REFERENCED_BY_ANY), "collection.referenced")
_AFTER_ID = Query(
    select(*_BLOB).where(_B.id > bindparam("last")).order_by(_B.id).limit(bindparam("limit")), "collection.after_id"
)
#: Keys of bytes that a row of another digest uses too: registry:2 keeps what was pushed by sha512 under its sha256.
_SHARED_KEYS = Query(
    select(_B.storage_key).where(in_list(_B.storage_key, "keys"), _B.storage_key != _B.digest), "collection.shared_keys"
)
_SETTLE = Query(
    update(blobs)
    .where(_OF_IDS)
    .values(state=case((_B.state == MARKED, LIVE), else_=_B.state), review_after=None, generation=_B.generation + 1),
    "collection.settle",
)
_MARK = Query(update(blobs).where(_OF_IDS).values(state=MARKED, generation=_B.generation + 1), "collection.mark")
_CLAIM = Query(update(blobs).where(_OF_IDS).values(state=DELETING, generation=_B.generation + 1), "collection.claim")


def _claim_files(dialect: Dialect) -> Any:
    """Put rows beside files, each given as its digest and its size."""
    file = list_rows(dialect, "files")
    digest = word(dialect, file, 1)
    size = cast(word(dialect, file, 2), WHOLE)
    columns = ["digest", "size", "storage_key", "state", "generation", "created_at"]
    rows = select(digest, size, digest, literal(DELETING, TEXT), literal(1, WHOLE), cast(bindparam("now"), WHOLE))
    # SQLite takes ON for the beginning of a join where the rows have no condition.
    found = dialect.insert(blobs).from_select(columns, rows.where(true()))
    return found.on_conflict_do_nothing().returning(_B.digest, _B.id)


_CLAIM_FILES = Query(_claim_files, "collection.claim_files")
_LINK = (repository_blobs.c.repository_id, repository_blobs.c.blob_id)
_UNLINK = Query(
    delete(repository_blobs)
    .where(
        tuple_(*_LINK).in_(
            select(*_LINK).where(in_list(repository_blobs.c.blob_id, "ids")).limit(bindparam("limit")).correlate(None)
        )
    )
    .returning(*_LINK),
    "collection.unlink",
)
_NAMES = Query(
    select(repositories.c.id, repositories.c.name).where(in_list(repositories.c.id, "ids")), "collection.names"
)
_DISCHARGE = Query(delete(project_blobs).where(in_list(project_blobs.c.blob_id, "ids")), "collection.discharge")
_STILL_CLAIMED = Query(
    select(_B.id, _B.storage_key).where(_OF_IDS, _B.state == DELETING).order_by(_B.id).with_for_update(),
    "collection.still_claimed",
)
_CLAIMED = Query(select(_B.id, _B.storage_key).where(_OF_IDS, _B.state == DELETING), "collection.claimed")
_REMOVE = Query(delete(blobs).where(_OF_IDS, _B.state == DELETING), "collection.remove")
_HOMES = Query(
    select(_M.digest, func.min(repositories.c.name))
    .join(repositories, repositories.c.id == _M.repository_id)
    .where(in_list(_M.digest, "digests"), listed(repositories.c.name))
    .group_by(_M.digest),
    "collection.homes",
)


def _manifests(*more: Any) -> Select[Any]:
    columns = (_M.id, _M.repository_id, _M.digest, _M.media_type, _M.size, _M.review_after)
    place = (repositories.c.project_id, repositories.c.name, repositories.c.adopted)
    return (
        select(*columns, *place, *more)
        .select_from(manifests)
        .join(repositories, repositories.c.id == _M.repository_id)
        .order_by(_M.id)
    )


def needed() -> ColumnElement[bool]:
    """Say of a manifest: it has a tag, an index lists it, or it refers to something that is there."""
    subject = manifests.alias("subject")
    refers = select(1).where(subject.c.repository_id == _M.repository_id, subject.c.digest == _M.subject)
    return or_(
        exists(select(1).where(tags.c.manifest_id == _M.id)).correlate(manifests),
        exists(select(1).where(manifest_children.c.child_id == _M.id)).correlate(manifests),
        exists(refers).correlate(manifests),
    )


_OF_MANIFESTS = in_list(_M.id, "ids")
_MANIFESTS = Query(_manifests().where(_OF_MANIFESTS), "collection.manifests")
_MANIFESTS_LOCKED = Query(
    _manifests().where(_OF_MANIFESTS).with_for_update(of=manifests), "collection.manifests_locked"
)
_NEEDED = Query(select(_M.id).where(_OF_MANIFESTS, needed()), "collection.needed")
_MANIFESTS_AFTER = Query(
    _manifests()
    .where(_M.id > bindparam("last"), _M.created_at < bindparam("before"), listed(repositories.c.name))
    .limit(bindparam("limit")),
    "collection.manifests_after",
)


def _blobs(rows: Iterable[Row], referenced: set[int]) -> list[BlobUnderReview]:
    return [BlobUnderReview(*(*row, row[0] in referenced)) for row in rows]


async def _with_references(reader: Reader, rows: Sequence[Row]) -> list[BlobUnderReview]:
    found = await reader.all(_REFERENCED, ids=[row[0] for row in rows]) if rows else []
    return _blobs(rows, {row[0] for row in found})


async def blobs_of(reader: Reader, ids: Sequence[int]) -> list[BlobUnderReview]:
    """Look at blobs, of those that there are."""
    return await _with_references(reader, await reader.all(_BLOBS, ids=list(ids)))


async def blobs_locked(tx: Transaction, ids: Sequence[int]) -> list[BlobUnderReview]:
    """Look at blobs, locked until the transaction ends."""
    return await _with_references(tx, await tx.all(_BLOBS_LOCKED, ids=list(ids)))


async def blobs_named(reader: Reader, digests: Sequence[str]) -> list[BlobUnderReview]:
    """Look at blobs by their digests, of those that there are."""
    return await _with_references(reader, await reader.all(_BLOBS_NAMED, digests=list(digests)))


async def blobs_after(reader: Reader, last: int, *, limit: int) -> list[BlobUnderReview]:
    """Look at the next blobs in the order of their row ids, in whatever state."""
    return await _with_references(reader, await reader.all(_AFTER_ID, last=last, limit=limit))


async def shared_keys(reader: Reader, keys: Sequence[str]) -> set[str]:
    """Return those of `keys` whose bytes belong to a blob of another digest."""
    rows = await reader.all(_SHARED_KEYS, keys=list(keys)) if keys else []
    return {row[0] for row in rows}


async def settle(tx: Transaction, ids: Sequence[int]) -> None:
    """Note that manifests need blobs, which nobody need look at again."""
    if ids:
        await tx.execute(_SETTLE, ids=list(ids))


async def mark(tx: Transaction, ids: Sequence[int]) -> None:
    """Mark blobs that this transaction has locked."""
    if ids:
        await tx.execute(_MARK, ids=list(ids))


async def claim(tx: Transaction, ids: Sequence[int]) -> None:
    """Let blobs that this transaction has locked be gone for everybody but whoever deletes their bytes."""
    if ids:
        await tx.execute(_CLAIM, ids=list(ids))


async def claim_files(tx: Transaction, sizes: Mapping[str, int]) -> dict[str, int]:
    """Keep everybody off files that no row speaks of, given by digest; return the row ids of those that have none."""
    files = [f"{digest} {size}" for digest, size in sizes.items()]
    rows = await tx.all(_CLAIM_FILES, files=files, now=clock.now()) if files else []
    return {row[0]: row[1] for row in rows}


async def still_claimed(tx: Transaction, keys: Mapping[int, str]) -> set[int]:
    """Return the row ids of those claimed blobs, given with their keys, that no push has brought back under another."""
    rows = await tx.all(_STILL_CLAIMED, ids=list(keys)) if keys else []
    return {row[0] for row in rows if row[1] == keys[row[0]]}


async def claimed(reader: Reader, keys: Mapping[int, str]) -> set[int]:
    """Return the same without locking them."""
    rows = await reader.all(_CLAIMED, ids=list(keys)) if keys else []
    return {row[0] for row in rows if row[1] == keys[row[0]]}


async def unlink(tx: Transaction, digests: Mapping[int, str], *, limit: int) -> bool:
    """Take claimed blobs out of up to `limit` repositories, whose files must follow; True when none is left.

    Args:
        tx: The transaction.
        digests: Of the blobs, by their row ids.
        limit: How many.
    """
    links = await tx.all(_UNLINK, ids=list(digests), limit=limit) if digests else []
    if links:
        found = await tx.all(_NAMES, ids=sorted({row[0] for row in links}))
        names: dict[int, str] = {row[0]: row[1] for row in found}
        pairs = [(names[repository], digests[blob]) for repository, blob in sorted(links)]
        gone = [{"repository": name, "digest": digest} for name, digest in pairs if not is_shadow(name)]
        await outbox.add_all(tx, outbox.BLOB_UNLINKED, gone)
    return len(links) < limit


async def remove(tx: Transaction, ids: Sequence[int]) -> int:
    """Remove the rows of claimed blobs that are in no repository any more; return how many those were."""
    if not ids:
        return 0
    await tx.execute(_DISCHARGE, ids=list(ids))
    await reservations.forget(tx, ids)
    return await tx.execute(_REMOVE, ids=list(ids))


async def homes(reader: Reader, digests: Sequence[str]) -> dict[str, str]:
    """Return, of those `digests` that are manifests, the name of a repository that has each."""
    rows = await reader.all(_HOMES, digests=list(digests)) if digests else []
    return {row[0]: row[1] for row in rows}


async def _with_needs(reader: Reader, rows: Sequence[Row]) -> list[ManifestUnderReview]:
    found = await reader.all(_NEEDED, ids=[row[0] for row in rows]) if rows else []
    kept = {row[0] for row in found}
    return [
        ManifestUnderReview(
            ManifestRow(*row[:6]), RepositoryRecord(row[1], row[6], row[7], bool(row[8])), row[0] in kept
        )
        for row in rows
    ]


async def manifests_of(reader: Reader, ids: Sequence[int]) -> list[ManifestUnderReview]:
    """Look at manifests, of those that there are."""
    return await _with_needs(reader, await reader.all(_MANIFESTS, ids=list(ids)))


async def manifests_locked(tx: Transaction, ids: Sequence[int]) -> list[ManifestUnderReview]:
    """Look at manifests, locked until the transaction ends."""
    return await _with_needs(tx, await tx.all(_MANIFESTS_LOCKED, ids=list(ids)))


async def manifests_after(reader: Reader, last: int, *, before: int, limit: int) -> list[ManifestUnderReview]:
    """Look at the next manifests, in the order of their row ids, of those pushed before a time."""
    return await _with_needs(reader, await reader.all(_MANIFESTS_AFTER, last=last, before=before, limit=limit))
