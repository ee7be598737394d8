"""The outbox: work that must follow a transaction, written in that transaction and done afterwards, in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, cast, delete, func, select

from entrepot.metadata import clock
from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list, list_rows
from entrepot.metadata.tables import outbox

#: Topics, each with the keys of its payload beside `repository`.
MANIFEST_PUT = "manifest.put"  #: digest, tags, and blobs that the repository holds from now on
MANIFEST_DELETED = "manifest.deleted"  #: digest, tags, and blobs that the repository holds no more
TAG_DELETED = "tag.deleted"  #: tag
BLOB_LINKED = "blob.linked"  #: digest
BLOB_UNLINKED = "blob.unlinked"  #: digest
REPOSITORY_CHANGED = "repository.changed"  #: as a whole: deleted or restored

#: What is to be written as registry:2's files.
FILES = (MANIFEST_PUT, MANIFEST_DELETED, TAG_DELETED, BLOB_LINKED, BLOB_UNLINKED, REPOSITORY_CHANGED)


#: Microseconds for which links may still be written by ours who asked the rows before an entry was made.
_LATE = 60 * clock.MICROSECONDS


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One thing to do."""

    id: int
    topic: str
    payload: dict[str, object]
    created_at: int

    @property
    def repository(self) -> str | None:
        """Return the repository that it is about."""
        name = self.payload.get("repository")
        return None if name is None else str(name)

    @property
    def ours_until(self) -> int:
        """Say from when on a link that this entry takes away is somebody else's: who wrote it knew of no entry."""
        return self.created_at + _LATE

    @property
    def names(self) -> frozenset[str]:
        """Return the tags and digests that it is about."""
        parts = [value for key, value in self.payload.items() if key != "repository"]
        return frozenset(str(one) for part in parts for one in (part if isinstance(part, list) else [part]))


#: Entries handed on at once.
BATCH = 200

_ADD = Query(
    lambda d: d.insert(outbox).values(
        topic=bindparam("topic"), payload=bindparam("payload"), created_at=bindparam("created_at")
    ),
    "outbox.add",
)
#: However many of a topic, by one statement.
_ADD_ALL = Query(
    lambda d: d.insert(outbox).from_select(
        ["topic", "payload", "created_at"],
        select(cast(bindparam("topic"), TEXT), list_rows(d, "payloads"), cast(bindparam("created_at"), WHOLE)),
    ),
    "outbox.add_all",
)
_NEXT = Query(
    select(outbox.c.id, outbox.c.topic, outbox.c.payload, outbox.c.created_at)
    .order_by(outbox.c.id)
    .limit(bindparam("limit")),
    "outbox.next",
)
_BETWEEN = Query(
    select(outbox.c.id, outbox.c.topic, outbox.c.payload, outbox.c.created_at)
    .where(outbox.c.id > bindparam("after"), outbox.c.id <= bindparam("upto"))
    .order_by(outbox.c.id)
    .limit(bindparam("limit")),
    "outbox.between",
)
_LAST = Query(select(func.max(outbox.c.id)), "outbox.last")
_FORGET = Query(delete(outbox).where(in_list(outbox.c.topic, "topics")), "outbox.forget")
_DONE = Query(delete(outbox).where(in_list(outbox.c.id, "ids")), "outbox.done")
_BACKLOG = Query(select(func.count(), func.min(outbox.c.created_at)).select_from(outbox), "outbox.backlog")


async def add(tx: Transaction, topic: str, **payload: object) -> None:
    """Leave something to do once this transaction is committed."""
    await tx.execute(_ADD, topic=topic, payload=json.dumps(payload), created_at=clock.now())


async def add_all(tx: Transaction, topic: str, payloads: Sequence[Mapping[str, object]]) -> None:
    """Leave things to do once this transaction is committed."""
    written = [json.dumps(payload) for payload in payloads]
    if written:
        await tx.execute(_ADD_ALL, topic=topic, payloads=written, created_at=clock.now())


async def last_id(reader: Reader) -> int:
    """Return the number of the newest entry that waits; 0 when none does."""
    row = await reader.one(_LAST)
    return 0 if row is None or row[0] is None else int(row[0])


async def between(reader: Reader, *, after: int, upto: int, limit: int = BATCH) -> list[OutboxEntry]:
    """Return entries of these numbers, oldest first."""
    rows = await reader.all(_BETWEEN, after=after, upto=upto, limit=limit)
    return [OutboxEntry(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]


async def waiting(reader: Reader, *, after: int = 0) -> AsyncIterator[OutboxEntry]:
    """Give the entries that wait now and have a higher number, oldest first."""
    upto = await last_id(reader)
    while found := await between(reader, after=after, upto=upto):
        for entry in found:
            yield entry
        after = found[-1].id


async def oldest(reader: Reader, limit: int) -> list[OutboxEntry]:
    """Return up to `limit` entries, oldest first."""
    rows = await reader.all(_NEXT, limit=limit)
    return [OutboxEntry(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]


async def done(tx: Transaction, ids: Sequence[int]) -> None:
    """Remove entries that have been dealt with."""
    await tx.execute(_DONE, ids=list(ids))


async def forget(tx: Transaction, topics: Sequence[str]) -> int:
    """Remove all entries of some topics, which need not be done any more; return how many those were."""
    return await tx.execute(_FORGET, topics=list(topics))


async def backlog(reader: Reader) -> tuple[int, int | None]:
    """Return the number of waiting entries and the time of the oldest."""
    row = await reader.one(_BACKLOG)
    return (0, None) if row is None else (row[0], row[1])
