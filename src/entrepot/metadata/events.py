"""Events: what happened to repositories, in order, kept for whoever reads them later."""

from __future__ import annotations

from sqlalchemy import bindparam

from entrepot.metadata import clock
from entrepot.metadata.database import Transaction
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


async def add(
    tx: Transaction, kind: str, *, repository: str, actor: str, digest: str | None = None, tag: str | None = None
) -> None:
    """Record that `actor` did `kind` to a tag, manifest or blob of a repository."""
    await tx.execute(_ADD, kind=kind, repository=repository, digest=digest, tag=tag, actor=actor, at=clock.now())
