"""The review queue: things that may have lost their last reference, for the collector to look at later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, bindparam, cast, delete, exists, func, literal, or_, select, update

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifest_blobs, manifests, review_queue

BLOB = "blob"
MANIFEST = "manifest"
#: A file of the store that may have no row at all.
FILE = "file"


@dataclass(frozen=True, slots=True)
class ReviewEntry:
    """One thing to be looked at; `subject_id` is the row of a blob or manifest, `digest` the name of a file."""

    id: int
    kind: str
    subject_id: int
    review_after: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the queue holds."""

    waiting: int
    due: int  #: of those, how many may be looked at now
    oldest: int | None  #: when the first of all may be looked at, or might have been


_Q = review_queue.c
#: Sorts before every entry.
BEGINNING = ReviewEntry(0, "", 0, 0, None)


def _add_rows(kind: str, table: Table) -> Query:
    """Queue rows of a table, however many, by one statement."""
    rows = select(
        literal(kind, TEXT),
        table.c.id,
        cast(bindparam("after"), WHOLE),
        cast(bindparam("reason"), TEXT),
    ).where(in_list(table.c.id, "ids"))
    columns = ["kind", "subject_id", "review_after", "reason"]
    return Query(lambda d: d.insert(review_queue).from_select(columns, rows), f"review.add_{kind}s")


_ADD = {BLOB: _add_rows(BLOB, blobs), MANIFEST: _add_rows(MANIFEST, manifests)}
_ADD_FILE = Query(
    lambda d: d.insert(review_queue).values(
        kind=FILE,
        subject_id=0,
        review_after=bindparam("review_after"),
        reason=bindparam("reason"),
        digest=bindparam("digest"),
    ),
    "review.add_file",
)
_QUEUED_FILES = Query(
    select(_Q.digest).where(_Q.digest.is_not(None), in_list(_Q.digest, "digests")), "review.queued_files"
)
_DUE = Query(
    select(_Q.id, _Q.kind, _Q.subject_id, _Q.review_after, _Q.digest)
    .where(
        _Q.review_after >= bindparam("from_time"),
        _Q.review_after <= bindparam("until"),
        or_(_Q.review_after > bindparam("from_time"), _Q.id > bindparam("last")),
    )
    .order_by(_Q.review_after, _Q.id)
    .limit(bindparam("limit")),
    "review.due",
)
_NEXT = Query(select(func.min(_Q.review_after)), "review.next")
_COUNT = Query(select(func.count()).select_from(review_queue), "review.count")
_COUNT_DUE = Query(
    select(func.count()).select_from(review_queue).where(_Q.review_after <= bindparam("until")), "review.count_due"
)
#: What a blob's deletion frees that no manifest needs, in the trash or out of it.
_UNNEEDED = Query(
    select(func.sum(blobs.c.size)).where(
        blobs.c.id.in_(select(_Q.subject_id).where(_Q.kind == literal(BLOB, TEXT)).scalar_subquery()),
        ~exists(select(1).where(manifest_blobs.c.blob_id == blobs.c.id)).correlate(blobs),
    ),
    "review.unneeded",
)
_POSTPONE = Query(
    update(review_queue).where(_Q.id == bindparam("entry")).values(review_after=bindparam("to")), "review.postpone"
)
_REMOVE = Query(delete(review_queue).where(in_list(_Q.id, "ids")), "review.remove")


async def add(tx: Transaction, kind: str, ids: Sequence[int], *, after: int, reason: str) -> None:
    """Queue blobs or manifests (by row id) to be reviewed no earlier than `after`."""
    if ids:
        await tx.execute(_ADD[kind], ids=list(ids), after=after, reason=reason)


async def add_files(tx: Transaction, digests: Sequence[str], *, after: int, reason: str) -> None:
    """Queue files of the store to be reviewed no earlier than `after`."""
    if digests:
        rows = [{"digest": digest, "review_after": after, "reason": reason} for digest in digests]
        await tx.many(_ADD_FILE, rows)


async def queued_files(reader: Reader, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are queued as files."""
    return {row[0] for row in await reader.all(_QUEUED_FILES, digests=list(digests))} if digests else set()


async def due(reader: Reader, *, until: int, limit: int, after: ReviewEntry = BEGINNING) -> list[ReviewEntry]:
    """Return up to `limit` entries behind one, of those that may be looked at by a time; the longest due first."""
    rows = await reader.all(_DUE, until=until, limit=limit, from_time=after.review_after, last=after.id)
    return [ReviewEntry(*row) for row in rows]


async def next_due(reader: Reader) -> int | None:
    """Return when the first entry may be looked at; None when there is none."""
    row = await reader.one(_NEXT)
    return None if row is None or row[0] is None else int(row[0])


async def backlog(reader: Reader, *, until: int) -> Backlog:
    """Count what waits, and what may be looked at by a time. Reads the whole queue, beside the event loop.

    Raises:
        TookTooLong: There is too much to count.
    """
    asked = patient(reader)
    counts = [await asked.one(_COUNT), await asked.one(_COUNT_DUE, until=until)]
    waiting, now = (0 if row is None else int(row[0]) for row in counts)
    return Backlog(waiting, now, await next_due(reader))


async def unneeded_bytes(reader: Reader) -> int:
    """Add up what collection will free of blobs, if nobody needs them again. Reads the queue, beside the event loop.

    Raises:
        TookTooLong: There is too much to add up.
    """
    row = await patient(reader).one(_UNNEEDED)
    return 0 if row is None or row[0] is None else int(row[0])


async def postpone(tx: Transaction, times: Mapping[int, int]) -> None:
    """Look at entries (by id) later: not before the times given."""
    if times:
        await tx.many(_POSTPONE, [{"entry": entry, "to": after} for entry, after in times.items()])


async def remove(tx: Transaction, ids: Sequence[int]) -> None:
    """Take entries out of the queue."""
    if ids:
        await tx.execute(_REMOVE, ids=list(ids))
