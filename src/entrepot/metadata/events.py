"""Events: what happened to repositories, in order, kept for whoever reads them later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events
from entrepot.oci.reference import RepositoryName

PUSH = "push"
PULL = "pull"
MOUNT = "mount"
CREATE = "create"
UPDATE = "update"
DELETE = "delete"
GRANT = "grant"
REVOKE = "revoke"
CONFIGURE = "configure"
RESTORE = "restore"  #: taken out of the trash, or a tag put back to what it named before
PURGE = "purge"  #: removed for good, past trash and history
EXPIRE = "expire"  #: the trash kept it for its time, or was emptied
SIGN_IN = "sign-in"
SIGN_OUT = "sign-out"
RETAIN = "retain"  #: a retention policy was run: what no rule of it keeps went
ALERT = "alert"  #: something that somebody should look at
START = "start"
STOP = "stop"
QUARANTINE = "quarantine"  #: bytes were found damaged or lost, and are no longer given out
HEAL = "heal"  #: such bytes are whole again

SUCCESS = "success"
FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who does something, and how it reached us: what the audit log says of every event."""

    name: str  #: the principal's name
    address: str = ""  #: of the client
    credential: str = ""  #: what signed in: `password`, `key:12`, `session`, `command line`, ...
    request: str = ""  #: id of the request


_ADD = Query(
    lambda d: d.insert(events).values(
        kind=bindparam("kind"),
        project=bindparam("project"),
        repository=bindparam("repository"),
        digest=bindparam("digest"),
        tag=bindparam("tag"),
        subject=bindparam("subject"),
        actor=bindparam("actor"),
        address=bindparam("address"),
        credential=bindparam("credential"),
        request=bindparam("request"),
        result=bindparam("result"),
        count=bindparam("count"),
        detail=bindparam("detail"),
        at=bindparam("at"),
    ),
    "events.add",
)

_LAST = Query(select(func.max(events.c.id)), "events.last")
_LAST_TIME = Query(select(events.c.at).order_by(events.c.id.desc()).limit(1), "events.last_time")
_SINCE = Query(
    select(events.c.id).where(events.c.id > bindparam("after"), events.c.repository == bindparam("name")).limit(1),
    "events.since",
)


async def last_id(reader: Reader) -> int:
    """Return the number of the latest event; 0 when there is none."""
    row = await reader.one(_LAST)
    return 0 if row is None or row[0] is None else int(row[0])


async def last_time(reader: Reader) -> int:
    """Return when the latest event happened; 0 when there is none."""
    row = await reader.one(_LAST_TIME)
    return 0 if row is None else int(row[0])


async def happened_since(reader: Reader, after: int, repository: str) -> bool:
    """Tell whether anything happened to a repository after an event."""
    return await reader.one(_SINCE, after=after, name=repository) is not None


async def add(
    tx: Transaction,
    kind: str,
    *,
    by: Source,
    project: str | None = None,
    repository: str | None = None,
    digest: str | None = None,
    tag: str | None = None,
    subject: str | None = None,
    detail: Mapping[str, object] | None = None,
    result: str = SUCCESS,
    count: int = 1,
) -> None:
    """Record that somebody did something, in the transaction that did it.

    Args:
        tx: The transaction.
        kind: What was done: one of the names above.
        by: Who did it.
        project: Name of the project it was done in, if any; known from the repository where there is one.
        repository: Name of the repository it was done to, if any, with `digest` and `tag` where they say more.
        digest: Digest of the manifest or blob.
        tag: Name of the tag.
        subject: What else it was done to: `user:alice`, `project:demo`, `robot:ci`, `configuration`, ...
        detail: What people will want to know, as JSON; never a secret.
        result: `success` or `failure`.
        count: How many like events this row stands for.
    """
    await tx.execute(
        _ADD,
        kind=kind,
        project=_project(project, repository),
        repository=repository,
        digest=digest,
        tag=tag,
        subject=subject,
        actor=by.name,
        address=by.address or None,
        credential=by.credential or None,
        request=by.request or None,
        result=result,
        count=count,
        detail=None if detail is None else json.dumps(detail, sort_keys=True, ensure_ascii=False),
        at=clock.now(),
    )


def _project(project: str | None, repository: str | None) -> str | None:
    return project if project is not None or repository is None else RepositoryName(repository).project
