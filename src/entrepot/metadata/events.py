"""Events: what happened to repositories, in order, kept for whoever reads them later."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events

PUSH = "push"
DELETE = "delete"
MOUNT = "mount"

_ADD = Query(
    lambda d: d.insert(events).values(
        kind=bindparam("kind"),
        repository=bindparam("repository"),
        digest=bindparam("digest"),
        tag=bindparam("tag"),
        actor=bindparam("actor"),
        at=bindparam("at"),
    ),
    "events.add",
)

_LAST = Query(select(func.max(events.c.id)), "events.last")
_SINCE = Query(
    select(events.c.id).where(events.c.id > bindparam("after"), events.c.repository == bindparam("name")).limit(1),
    "events.since",
)


async def last_id(reader: Reader) -> int:
    """Return the number of the latest event; 0 when there is none."""
    row = await reader.one(_LAST)
    return 0 if row is None or row[0] is None else int(row[0])


async def happened_since(reader: Reader, after: int, repository: str) -> bool:
    """Tell whether anything happened to a repository after an event."""
    return await reader.one(_SINCE, after=after, name=repository) is not None


async def add(
    tx: Transaction, kind: str, *, repository: str, actor: str, digest: str | None = None, tag: str | None = None
) -> None:
    """Record that `actor` did `kind` to a tag, manifest or blob of a repository."""
    await tx.execute(_ADD, kind=kind, repository=repository, digest=digest, tag=tag, actor=actor, at=clock.now())
