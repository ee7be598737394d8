"""Blobs: their bytes' whereabouts and state, and which repositories hold them.

A blob is `live`, then `marked` by the collector, then `deleting`; every step is a compare-and-set on `generation`, so
that a push that meets `marked` wins the blob back and one that meets `deleting` waits until the row is gone. Whatever
puts a blob's collection off raises the generation: a blob that was won back and marked again is not the one that a
collector saw before. A blob whose bytes somebody else took away is `missing`, one whose bytes have another digest is
`damaged`: who refers to it is remembered, nobody sees it, and the next push of it heals whatever needs it.

When the last manifest of a repository that refers to a blob goes into the trash, the repository's hold on it lapses:
nobody can read it there any more, but a push that was told of it before may still use it while the grace lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, cast, delete, exists, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.shadows import listed
from entrepot.metadata.tables import (
    blobs,
    manifest_blobs,
    repositories,
    repository_blobs,
)

LIVE = "live"
MARKED = "marked"
DELETING = "deleting"
MISSING = "missing"
DAMAGED = "damaged"
#: The bytes are not there, or are not the blob's: nobody sees it until they are.
LOST = frozenset({MISSING, DAMAGED})


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob as the database knows it."""

    id: int
    digest: str
    size: int
    storage_key: str
    state: str
    review_after: int | None
    #: Which file was found to have the digest, and when; see `registry.suspicion`.
    inode: int | None
    mtime_ns: int | None
    verified_at: int | None
    lapses_at: int | None = None  #: set when the repository that was asked about is losing it; see `held`


@dataclass(frozen=True, slots=True)
class StoredRow:
    """Where a blob's bytes should be, and the generation that this was read from."""

    id: int
    digest: str
    storage_key: str
    size: int
    state: str
    generation: int
    inode: int | None
    mtime_ns: int | None
    verified_at: int | None


_COLUMNS = (
    blobs.c.id,
    blobs.c.digest,
    blobs.c.size,
    blobs.c.storage_key,
    blobs.c.state,
    blobs.c.review_after,
    blobs.c.inode,
    blobs.c.mtime_ns,
    blobs.c.verified_at,
)
#: The states in which a blob's bytes may be read.
_READABLE = (blobs.c.state == LIVE) | (blobs.c.state == MARKED)
_HELD = (
    select(*_COLUMNS)
    .select_from(repositories)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
)
_FIND = Query(select(*_COLUMNS).where(blobs.c.digest == bindparam("digest")), "blobs.find")
_KNOWN = Query(select(blobs.c.digest).where(in_list(blobs.c.digest, "digests")), "blobs.known")
_FIND_MANY = Query(select(*_COLUMNS).where(in_list(blobs.c.digest, "digests")).with_for_update(), "blobs.find_many")
_IS_HELD = repository_blobs.c.lapses_at.is_(None)
_FIND_IN = Query(
    _HELD.where(
        repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest"), _READABLE, _IS_HELD
    ),
    "blobs.find_in",
    recalled=True,
)
#: Found by digest, then asked whether the repository has them: a repository may have very many others.
_HERE = (repository_blobs.c.repository_id == bindparam("repository_id"), repository_blobs.c.blob_id == blobs.c.id)
_IN_REPOSITORY = exists(select(1).where(*_HERE)).correlate(blobs)
_LAPSES_AT = select(repository_blobs.c.lapses_at).where(*_HERE).correlate(blobs).scalar_subquery()
_HELD_OF = Query(
    select(*_COLUMNS, _LAPSES_AT)
    .where(in_list(blobs.c.digest, "digests"), _IN_REPOSITORY, _READABLE)
    .with_for_update(of=blobs),
    "blobs.held_of",
)
_LINKED = Query(
    select(blobs.c.digest).where(
        in_list(blobs.c.digest, "digests"),
        exists(select(1).where(*_HERE, _IS_HELD)).correlate(blobs),
        blobs.c.state != DELETING,
    ),
    "blobs.linked",
)
_HOLDERS = Query(
    select(repositories.c.name)
    .select_from(blobs)
    .join(repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(blobs.c.digest == bindparam("digest"), _READABLE, _IS_HELD, listed(repositories.c.name))
    .limit(bindparam("limit")),
    "blobs.holders",
)
_OF_REPOSITORIES = Query(
    select(repositories.c.name)
    .select_from(repository_blobs)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(repository_blobs.c.blob_id == bindparam("blob_id"), listed(repositories.c.name))
    .limit(bindparam("limit")),
    "blobs.of_repositories",
)
_STORED_COLUMNS = (
    blobs.c.id,
    blobs.c.digest,
    blobs.c.storage_key,
    blobs.c.size,
    blobs.c.state,
    blobs.c.generation,
    blobs.c.inode,
    blobs.c.mtime_ns,
    blobs.c.verified_at,
)
_STORED_AS = Query(
    select(*_STORED_COLUMNS).where(blobs.c.digest == bindparam("digest"), blobs.c.state != DELETING), "blobs.stored_as"
)
_STORED = Query(
    select(*_STORED_COLUMNS)
    .where(blobs.c.id > bindparam("last"), blobs.c.state != DELETING)
    .order_by(blobs.c.id)
    .limit(bindparam("limit")),
    "blobs.stored",
)
_STORED_BY_DIGEST = Query(
    select(*_STORED_COLUMNS)
    .where(blobs.c.digest > bindparam("last"), blobs.c.state != DELETING)
    .order_by(blobs.c.digest)
    .limit(bindparam("limit")),
    "blobs.stored_by_digest",
)
_LAST_ID = Query(select(func.max(blobs.c.id)), "blobs.last_id")
_SET_STATE = Query(
    update(blobs)
    .where(blobs.c.id == bindparam("blob_id"), blobs.c.generation == bindparam("seen"), blobs.c.state != DELETING)
    .values(state=bindparam("to"), generation=blobs.c.generation + 1),
    "blobs.set_state",
)
_LOSE = Query(
    update(blobs)
    .where(in_list(blobs.c.id, "ids"), blobs.c.state != DELETING)
    .values(state=MISSING, generation=blobs.c.generation + 1),
    "blobs.lose",
)
_PUT_MISSING = Query(
    lambda d: (
        d.insert(blobs)
        .values(
            digest=bindparam("digest"),
            size=bindparam("size"),
            storage_key=bindparam("digest"),
            state=MISSING,
            generation=1,
            created_at=bindparam("now"),
        )
        .returning(blobs.c.id)
    ),
    "blobs.put_missing",
)
_PUT = Query(
    lambda d: (
        (
            insert := d.insert(blobs).values(
                digest=bindparam("digest"),
                size=bindparam("size"),
                storage_key=bindparam("storage_key"),
                state=LIVE,
                generation=1,
                created_at=bindparam("now"),
                review_after=bindparam("review_after"),
                inode=bindparam("inode"),
                mtime_ns=bindparam("mtime_ns"),
                verified_at=bindparam("verified_at"),
            )
        )
        .on_conflict_do_update(
            index_elements=[blobs.c.digest],
            set_={
                "state": LIVE,
                "size": insert.excluded.size,
                "storage_key": insert.excluded.storage_key,
                "generation": blobs.c.generation + 1,
                "review_after": insert.excluded.review_after,
                "inode": insert.excluded.inode,
                "mtime_ns": insert.excluded.mtime_ns,
                "verified_at": insert.excluded.verified_at,
            },
            where=blobs.c.state != DELETING,
        )
        .returning(blobs.c.id)
    ),
    "blobs.put",
)
_KEEP = Query(
    update(blobs)
    .where(in_list(blobs.c.id, "ids"), _READABLE)
    .values(state=LIVE, review_after=bindparam("after"), generation=blobs.c.generation + 1),
    "blobs.keep",
)
_QUEUE = Query(
    update(blobs)
    .where(
        in_list(blobs.c.id, "ids"),
        ~select(1).where(manifest_blobs.c.blob_id == blobs.c.id).exists(),
    )
    .values(review_after=bindparam("after"), generation=blobs.c.generation + 1),
    "blobs.queue",
)
_LINK = Query(
    lambda d: (
        d.insert(repository_blobs)
        .values(
            repository_id=bindparam("repository_id"), blob_id=bindparam("blob_id"), created_at=bindparam("created_at")
        )
        .on_conflict_do_update(
            index_elements=[repository_blobs.c.repository_id, repository_blobs.c.blob_id],
            set_={"lapses_at": None},
            where=repository_blobs.c.lapses_at.is_not(None),
        )
    ),
    "blobs.link",
)
_UNLINK = Query(
    delete(repository_blobs).where(
        repository_blobs.c.repository_id == bindparam("repository_id"),
        repository_blobs.c.blob_id == bindparam("blob_id"),
    ),
    "blobs.unlink",
)
_LOCK = Query(select(blobs.c.id).where(in_list(blobs.c.id, "ids")).order_by(blobs.c.id).with_for_update(), "blobs.lock")
_LAPSE = Query(
    update(repository_blobs)
    .where(
        repository_blobs.c.repository_id == bindparam("repository"),
        in_list(repository_blobs.c.blob_id, "ids"),
        _IS_HELD,
        ~exists(
            select(1).where(
                manifest_blobs.c.blob_id == repository_blobs.c.blob_id,
                manifest_blobs.c.repository_id == repository_blobs.c.repository_id,
            )
        ).correlate(repository_blobs),
    )
    .values(lapses_at=bindparam("after"))
    .returning(repository_blobs.c.blob_id),
    "blobs.lapse",
)
_REVIVE = Query(
    lambda d: (
        d.insert(repository_blobs)
        .from_select(
            ["repository_id", "blob_id", "created_at"],
            select(manifest_blobs.c.repository_id, manifest_blobs.c.blob_id, cast(bindparam("now"), WHOLE))
            .where(manifest_blobs.c.manifest_id == bindparam("manifest"))
            .distinct(),
        )
        .on_conflict_do_update(
            index_elements=[repository_blobs.c.repository_id, repository_blobs.c.blob_id],
            set_={"lapses_at": None},
            where=repository_blobs.c.lapses_at.is_not(None),
        )
        .returning(repository_blobs.c.blob_id)
    ),
    "blobs.revive",
)
_DIGESTS = Query(select(blobs.c.digest).where(in_list(blobs.c.id, "ids")), "blobs.digests")
_UNREFERENCED = Query(
    select(func.sum(blobs.c.size)).where(
        in_list(blobs.c.id, "ids"),
        ~exists(select(1).where(manifest_blobs.c.blob_id == blobs.c.id)).correlate(blobs),
    ),
    "blobs.unreferenced",
)
_LAPSED = Query(
    select(repository_blobs.c.repository_id, repository_blobs.c.blob_id)
    .where(repository_blobs.c.lapses_at <= bindparam("now"))
    .order_by(repository_blobs.c.lapses_at)
    .limit(bindparam("limit")),
    "blobs.lapsed",
)
_DROP_LAPSED = Query(
    delete(repository_blobs).where(
        repository_blobs.c.repository_id == bindparam("repository"),
        repository_blobs.c.blob_id == bindparam("blob"),
        repository_blobs.c.lapses_at <= bindparam("now"),
    ),
    "blobs.drop_lapsed",
)
_REFERENCES_IN = Query(
    select(func.count())
    .select_from(manifest_blobs)
    .where(
        manifest_blobs.c.blob_id == bindparam("blob_id"), manifest_blobs.c.repository_id == bindparam("repository_id")
    ),
    "blobs.references_in",
)


def _record(row: Row) -> BlobRow:
    return BlobRow(*row)


async def find(reader: Reader, digest: str) -> BlobRow | None:
    """Return a blob in whatever state, held by whomever."""
    row = await reader.one(_FIND, digest=digest)
    return None if row is None else _record(row)


async def find_in(reader: Reader, repository: str, digest: str) -> BlobRow | None:
    """Return a blob that the repository of this exact name holds."""
    row = await reader.one(_FIND_IN, repository=repository, digest=digest)
    return None if row is None else _record(row)


async def held(tx: Reader, repository_id: int, digests: Sequence[str]) -> dict[str, BlobRow]:
    """Return those of `digests` that a repository holds, also those it is losing, locked until the transaction ends."""
    if not digests:
        return {}
    rows = await tx.all(_HELD_OF, repository_id=repository_id, digests=list(digests))
    return {row[1]: _record(row) for row in rows}


async def find_many(tx: Reader, digests: Sequence[str]) -> dict[str, BlobRow]:
    """Return those of `digests` that are known, in whatever state, locked until the transaction ends."""
    if not digests:
        return {}
    return {row[1]: _record(row) for row in await tx.all(_FIND_MANY, digests=list(digests))}


async def known(reader: Reader, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are blobs, in whatever state."""
    rows = await reader.all(_KNOWN, digests=list(digests)) if digests else []
    return {row[0] for row in rows}


async def linked(reader: Reader, repository_id: int, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that belong to a repository, whether or not their bytes are there."""
    rows = await reader.all(_LINKED, repository_id=repository_id, digests=list(digests)) if digests else []
    return {row[0] for row in rows}


async def stored(reader: Reader, *, after: int, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose row id is above `after`, in the order of their ids."""
    return [StoredRow(*row) for row in await reader.all(_STORED, last=after, limit=limit)]


async def stored_by_digest(reader: Reader, *, after: str, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose digest is behind `after`, in the order of their digests."""
    return [StoredRow(*row) for row in await reader.all(_STORED_BY_DIGEST, last=after, limit=limit)]


async def last_id(reader: Reader) -> int:
    """Return the row id of the newest blob; 0 when there is none."""
    row = await reader.one(_LAST_ID)
    return 0 if row is None else int(row[0] or 0)


async def stored_as(reader: Reader, digest: str) -> StoredRow | None:
    """Return a blob with its generation; None when it is unknown or being deleted."""
    row = await reader.one(_STORED_AS, digest=digest)
    return None if row is None else StoredRow(*row)


async def holders(reader: Reader, digest: str, limit: int) -> list[str]:
    """Return names of up to `limit` repositories that hold a blob."""
    return [row[0] for row in await reader.all(_HOLDERS, digest=digest, limit=limit)]


async def of_repositories(reader: Reader, blob_id: int, limit: int) -> list[str]:
    """Return names of up to `limit` repositories that a blob belongs to, whether or not its bytes are there."""
    return [row[0] for row in await reader.all(_OF_REPOSITORIES, blob_id=blob_id, limit=limit)]


async def put(
    tx: Transaction,
    digest: str,
    *,
    size: int,
    storage_key: str,
    review_after: int | None,
    inode: int | None = None,
    mtime_ns: int | None = None,
    verified: bool = True,
) -> int | None:
    """Make a blob known and live; return its id, or None while the collector is deleting it."""
    now = clock.now()
    row = await tx.one(
        _PUT,
        digest=digest,
        size=size,
        storage_key=storage_key,
        now=now,
        review_after=review_after,
        inode=inode,
        mtime_ns=mtime_ns,
        verified_at=now if verified else None,
    )
    return None if row is None else row[0]


async def put_missing(tx: Transaction, digest: str, *, size: int) -> int:
    """Make a blob known whose bytes are not there, so that manifests can refer to it; return its id."""
    row = await tx.one(_PUT_MISSING, digest=digest, size=size, now=clock.now())
    assert row is not None
    return int(row[0])


async def lose(tx: Transaction, ids: Sequence[int]) -> None:
    """Note that the bytes of blobs are not there, or are not theirs."""
    if ids:
        await tx.execute(_LOSE, ids=list(ids))


async def set_state(tx: Transaction, seen: StoredRow, state: str) -> bool:
    """Make a blob live, missing or damaged, unless it changed since it was seen."""
    return await tx.execute(_SET_STATE, blob_id=seen.id, seen=seen.generation, to=state) == 1


async def keep(tx: Transaction, ids: Sequence[int], *, review_after: int | None) -> int:
    """Win blobs back from the collector and set when they may be looked at again; return how many could be kept."""
    return await tx.execute(_KEEP, ids=list(ids), after=review_after) if ids else 0


async def queue(tx: Transaction, ids: Sequence[int], *, review_after: int) -> None:
    """Note of those blobs that no manifest refers to any more when they may be looked at: what finds one renews it."""
    if ids:
        await tx.execute(_QUEUE, ids=list(ids), after=review_after)


async def link(tx: Transaction, repository_id: int, blob_id: int) -> bool:
    """Let a repository hold a blob, also one that it was losing; False when it did already."""
    return await tx.execute(_LINK, repository_id=repository_id, blob_id=blob_id, created_at=clock.now()) == 1


async def link_all(tx: Transaction, repository_id: int, blob_ids: Iterable[int]) -> None:
    """Let a repository hold blobs."""
    now = clock.now()
    rows = [{"repository_id": repository_id, "blob_id": blob_id, "created_at": now} for blob_id in blob_ids]
    if rows:
        await tx.many(_LINK, rows)


async def lock(tx: Transaction, ids: Sequence[int]) -> None:
    """Keep others from referring to blobs until the transaction ends: what the next statement sees of them holds."""
    if ids:
        await tx.all(_LOCK, ids=list(ids))


async def lapse(tx: Transaction, repository_id: int, ids: Sequence[int], *, after: int) -> list[str]:
    """Let go of those blobs, locked before, that no manifest of a repository refers to; return their digests.

    Nobody reads them there from now on; until `after`, a push that was told of them before may still use them.
    """
    rows = await tx.all(_LAPSE, repository=repository_id, ids=list(ids), after=after) if ids else []
    return await _digests(tx, rows)


async def revive(tx: Transaction, manifest_id: int) -> list[str]:
    """Let a repository hold all that one of its manifests refers to; return the digests of what it did not hold."""
    return await _digests(tx, await tx.all(_REVIVE, manifest=manifest_id, now=clock.now()))


async def _digests(reader: Reader, rows: Sequence[Row]) -> list[str]:
    ids = [row[0] for row in rows]
    return sorted(row[0] for row in await reader.all(_DIGESTS, ids=ids)) if ids else []


async def unreferenced_bytes(reader: Reader, ids: Sequence[int]) -> int:
    """Add up the sizes of those blobs that no manifest refers to."""
    row = await reader.one(_UNREFERENCED, ids=list(ids)) if ids else None
    return 0 if row is None or row[0] is None else int(row[0])


async def drop_lapsed(tx: Transaction, *, limit: int) -> int:
    """Forget up to `limit` blobs that repositories let go of, and whose time is over; return how many those were."""
    now = clock.now()
    rows = await tx.all(_LAPSED, now=now, limit=limit)
    if rows:
        await tx.many(_DROP_LAPSED, [{"repository": row[0], "blob": row[1], "now": now} for row in rows])
    return len(rows)


async def unlink(tx: Transaction, repository_id: int, blob_id: int) -> bool:
    """Take a blob out of a repository; False when it was not there."""
    return await tx.execute(_UNLINK, repository_id=repository_id, blob_id=blob_id) == 1


async def references_in(reader: Reader, repository_id: int, blob_id: int) -> int:
    """Count the references to a blob by manifests of one repository."""
    row = await reader.one(_REFERENCES_IN, repository_id=repository_id, blob_id=blob_id)
    return 0 if row is None else int(row[0])
