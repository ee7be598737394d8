"""Blobs: their bytes' whereabouts and state; `repository_blobs` says which repositories have them.

A blob is `live`, then `marked` by the collector, then `deleting`; every step is a compare-and-set on `generation`, so
that a push that meets `marked` wins the blob back and one that meets `deleting` waits until the row is gone; or, where
it brings a key that was never used, makes it live again at once. Whatever
puts a blob's collection off raises the generation: a blob that was won back and marked again is not the one that a
collector saw before. A blob whose bytes somebody else took away is `missing`, one whose bytes have another digest is
`damaged`: who refers to it is remembered, nobody sees it, and the next push of it heals whatever needs it.

When the last manifest of a repository that refers to a blob goes into the trash, the repository's hold on it lapses:
while the grace lasts it is read and mounted there, and a push that was told of it before may use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, false, func, or_, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import ABOVE_ALL, Query, in_list
from entrepot.metadata.tables import (
    blobs,
    manifest_blobs,
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
    #: Which file was found to have the digest, and when; see `registry.suspect_blobs`.
    inode: int | None
    mtime_ns: int | None
    verified_at: int | None
    etag: str | None
    lapses_at: int | None = None  #: set when the repository that was asked about is losing it


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
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie, and what says that they are the same later."""

    key: str
    inode: int | None
    mtime_ns: int | None
    etag: str | None


#: What a `BlobRow` is read from.
COLUMNS = (
    blobs.c.id,
    blobs.c.digest,
    blobs.c.size,
    blobs.c.storage_key,
    blobs.c.state,
    blobs.c.review_after,
    blobs.c.inode,
    blobs.c.mtime_ns,
    blobs.c.verified_at,
    blobs.c.etag,
)
#: The states in which a blob's bytes may be read.
READABLE = (blobs.c.state == LIVE) | (blobs.c.state == MARKED)
_FIND = Query(select(*COLUMNS).where(blobs.c.digest == bindparam("digest")), "blobs.find")
_KNOWN = Query(select(blobs.c.digest).where(in_list(blobs.c.digest, "digests")), "blobs.known")
_FIND_MANY = Query(select(*COLUMNS).where(in_list(blobs.c.digest, "digests")).with_for_update(), "blobs.find_many")
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
    blobs.c.etag,
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
_WHEREABOUTS = Query(
    select(blobs.c.digest, blobs.c.storage_key, blobs.c.state)
    .where(blobs.c.digest > bindparam("last"), blobs.c.digest < bindparam("behind"), blobs.c.state != DELETING)
    .order_by(blobs.c.digest)
    .limit(bindparam("limit")),
    "blobs.whereabouts",
)
#: Blobs whose bytes lie under another digest than their own.
_STORED_APART = Query(
    select(*_STORED_COLUMNS)
    .where(
        blobs.c.storage_key > bindparam("first"),
        blobs.c.storage_key < bindparam("behind"),
        blobs.c.storage_key != blobs.c.digest,
        blobs.c.state != DELETING,
    )
    .order_by(blobs.c.storage_key)
    .limit(bindparam("limit")),
    "blobs.stored_apart",
)
#: Blobs under names of their own, in the order of these.
_STORED_BETWEEN = Query(
    select(*_STORED_COLUMNS)
    .where(
        blobs.c.storage_key > bindparam("after"),
        blobs.c.storage_key <= bindparam("until"),
        blobs.c.storage_key != blobs.c.digest,
        blobs.c.state != DELETING,
    )
    .order_by(blobs.c.storage_key)
    .limit(bindparam("limit")),
    "blobs.stored_between",
)
_RENAME = Query(
    update(blobs).where(blobs.c.id == bindparam("blob_id")).values(storage_key=bindparam("to")), "blobs.rename"
)
#: The same bytes at another place, verified there a moment ago.
_MOVE = Query(
    update(blobs)
    .where(
        blobs.c.id == bindparam("blob_id"),
        blobs.c.storage_key == bindparam("was"),
        blobs.c.generation == bindparam("seen"),
        READABLE,
    )
    .values(
        storage_key=bindparam("to"),
        inode=bindparam("file"),
        mtime_ns=bindparam("touched"),
        etag=bindparam("object"),
        verified_at=bindparam("now"),
        generation=blobs.c.generation + 1,
    ),
    "blobs.move",
)
_NEWEST = Query(
    select(blobs.c.id, blobs.c.digest, blobs.c.created_at)
    .where(blobs.c.id < bindparam("before"))
    .order_by(blobs.c.id.desc())
    .limit(bindparam("limit")),
    "blobs.newest",
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


def _put(name: str, *, is_new_key: bool) -> Query:
    """Insert a blob, or replace what is said of its bytes, unless these are being deleted."""

    def built(dialect: Dialect) -> Any:
        insert = dialect.insert(blobs).values(
            digest=bindparam("digest"),
            size=bindparam("size"),
            storage_key=bindparam("storage_key"),
            state=LIVE,
            generation=1,
            created_at=bindparam("now"),
            review_after=bindparam("review_after"),
            inode=bindparam("inode"),
            mtime_ns=bindparam("mtime_ns"),
            etag=bindparam("etag"),
            verified_at=bindparam("verified_at"),
        )
        new = insert.excluded
        replaced = {
            "state": LIVE,
            "size": new.size,
            "storage_key": new.storage_key,
            "generation": blobs.c.generation + 1,
            "review_after": new.review_after,
            "inode": new.inode,
            "mtime_ns": new.mtime_ns,
            "etag": new.etag,
            "verified_at": new.verified_at,
        }
        # Whoever deletes the old copy knows it by its key.
        is_other = blobs.c.storage_key != new.storage_key if is_new_key else false()
        where = or_(blobs.c.state != DELETING, is_other)
        return insert.on_conflict_do_update(index_elements=[blobs.c.digest], set_=replaced, where=where).returning(
            blobs.c.id
        )

    return Query(built, name)


_PUT = _put("blobs.put", is_new_key=False)
_PUT_UNDER_NEW_KEY = _put("blobs.put_under_new_key", is_new_key=True)
_KEEP = Query(
    update(blobs)
    .where(in_list(blobs.c.id, "ids"), READABLE)
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
_LOCK = Query(select(blobs.c.id).where(in_list(blobs.c.id, "ids")).order_by(blobs.c.id).with_for_update(), "blobs.lock")
_UNREFERENCED = Query(
    select(func.sum(blobs.c.size)).where(
        in_list(blobs.c.id, "ids"),
        ~exists(select(1).where(manifest_blobs.c.blob_id == blobs.c.id)).correlate(blobs),
    ),
    "blobs.unreferenced",
)


def record_of(row: Row) -> BlobRow:
    """Read `COLUMNS`, and when a repository is losing the blob where that was asked, too."""
    return BlobRow(*row)


async def find(reader: Reader, digest: str) -> BlobRow | None:
    """Return a blob in whatever state, held by whomever."""
    row = await reader.one(_FIND, digest=digest)
    return None if row is None else record_of(row)


async def find_many(tx: Reader, digests: Sequence[str]) -> dict[str, BlobRow]:
    """Return those of `digests` that are known, in whatever state, locked until the transaction ends."""
    if not digests:
        return {}
    return {row[1]: record_of(row) for row in await tx.all(_FIND_MANY, digests=list(digests))}


async def known(reader: Reader, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are blobs, in whatever state."""
    rows = await reader.all(_KNOWN, digests=list(digests)) if digests else []
    return {row[0] for row in rows}


async def stored(reader: Reader, *, after: int, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose row id is above `after`, in the order of their ids."""
    return [StoredRow(*row) for row in await reader.all(_STORED, last=after, limit=limit)]


async def stored_by_digest(reader: Reader, *, after: str, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose digest is behind `after`, in the order of their digests."""
    return [StoredRow(*row) for row in await reader.all(_STORED_BY_DIGEST, last=after, limit=limit)]


async def whereabouts(reader: Reader, beginning: str, *, after: str, limit: int) -> list[tuple[str, str, str]]:
    """Return digests, keys and states of up to `limit` blobs behind a digest, of those that begin like this."""
    rows = await reader.all(_WHEREABOUTS, last=after, behind=f"{beginning}~", limit=limit)
    return [(row[0], row[1], row[2]) for row in rows]


async def stored_apart(reader: Reader, beginning: str, *, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose bytes lie under another digest than their own, which begins like this."""
    rows = await reader.all(_STORED_APART, first=beginning, behind=f"{beginning}~", limit=limit)
    return [StoredRow(*row) for row in rows]


async def stored_between(reader: Reader, after: str, until: str, *, limit: int) -> list[StoredRow]:
    """Return up to `limit` blobs whose key is no digest and lies behind `after`, up to `until`, in this order."""
    rows = await reader.all(_STORED_BETWEEN, after=after, until=until, limit=limit)
    return [StoredRow(*row) for row in rows]


async def move(tx: Transaction, seen: StoredRow, copy: Place) -> bool:
    """Let a blob lie elsewhere; False when it changed since it was seen, or is not there for anybody any more."""
    moved = await tx.execute(
        _MOVE,
        blob_id=seen.id,
        was=seen.storage_key,
        seen=seen.generation,
        to=copy.key,
        file=copy.inode,
        touched=copy.mtime_ns,
        object=copy.etag,
        now=clock.now(),
    )
    return moved == 1


async def rename(tx: Transaction, keys: Mapping[int, str]) -> None:
    """Say of blobs, by row id, under which keys they lie, in a registry that nobody uses yet."""
    if keys:
        await tx.many(_RENAME, [{"blob_id": number, "to": key} for number, key in sorted(keys.items())])


async def has_any_of(reader: Reader, beginning: str) -> bool:
    """Tell whether the bytes of any blob have a key that begins like this and goes on with letters or digits."""
    return bool(await stored_between(reader, beginning, f"{beginning}~", limit=1))


async def newest(reader: Reader, *, limit: int, before: int = ABOVE_ALL) -> list[tuple[int, str, int]]:
    """Return the row ids, digests and times of up to `limit` blobs, the newest first, those before a row id."""
    rows = await reader.all(_NEWEST, before=before, limit=limit)
    return [(row[0], row[1], row[2]) for row in rows]


async def last_id(reader: Reader) -> int:
    """Return the row id of the newest blob; 0 when there is none."""
    row = await reader.one(_LAST_ID)
    return 0 if row is None else int(row[0] or 0)


async def stored_as(reader: Reader, digest: str) -> StoredRow | None:
    """Return a blob with its generation; None when it is unknown or being deleted."""
    row = await reader.one(_STORED_AS, digest=digest)
    return None if row is None else StoredRow(*row)


async def put(
    tx: Transaction,
    digest: str,
    *,
    size: int,
    storage_key: str,
    review_after: int | None,
    inode: int | None = None,
    mtime_ns: int | None = None,
    etag: str | None = None,
    verified: bool = True,
    is_new_key: bool = False,
) -> int | None:
    """Make a blob known and live; return its id, or None while the collector is deleting it.

    One under a key that was never used is made live whatever becomes of the old copy.
    """
    now = clock.now()
    row = await tx.one(
        _PUT_UNDER_NEW_KEY if is_new_key else _PUT,
        digest=digest,
        size=size,
        storage_key=storage_key,
        now=now,
        review_after=review_after,
        inode=inode,
        mtime_ns=mtime_ns,
        etag=etag,
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


async def lock(tx: Transaction, ids: Sequence[int]) -> None:
    """Keep others from referring to blobs until the transaction ends: what the next statement sees of them holds."""
    if ids:
        await tx.all(_LOCK, ids=list(ids))


async def unreferenced_bytes(reader: Reader, ids: Sequence[int]) -> int:
    """Add up the sizes of those blobs that no manifest refers to."""
    row = await reader.one(_UNREFERENCED, ids=list(ids)) if ids else None
    return 0 if row is None or row[0] is None else int(row[0])
