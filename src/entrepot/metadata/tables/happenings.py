"""What is to be done after a transaction, and what happened."""

from typing import Final

from sqlalchemy import Index, text

from entrepot.metadata.columns import number, numbered, words
from entrepot.metadata.tables.base import metadata

#: Work that the job worker starts because a transaction committed; `payload` is JSON.
outbox: Final = numbered("outbox", metadata, words("topic"), words("payload"), number("created_at"))

#: What happened, for people, the audit log and webhooks. Names and not ids: an event outlives what it tells of.
#: `subject` is what it was done to where that is no repository (`user:alice`, `project:demo`); `credential` says what
#: signed in, `request` which request it was; `count` is above 1 where one row stands for several sign-ins. `sequence`
#: and `seal` chain the row to the one sealed before it; a row without them waits for the sealer.
events: Final = numbered(
    "events",
    metadata,
    words("kind"),
    words("repository", null=True),
    words("digest", null=True),
    words("tag", null=True),
    words("actor"),
    number("at"),
    words("detail", null=True),
    words("project", null=True),
    words("subject", null=True),
    words("address", null=True),
    words("credential", null=True),
    words("request", null=True),
    words("result", null=True),
    number("count", default=1),
    number("sequence", null=True),
    words("seal", null=True),
    Index(None, "sequence", unique=True),
    Index(None, "project", "id"),
    Index(None, "actor", "id"),
    Index(
        "ix_events_unsealed",
        "id",
        sqlite_where=text("seal IS NULL"),
        postgresql_where=text("seal IS NULL"),
    ),
)

#: What a synchronisation with a directory or provider did; `report` is JSON.
sync_runs: Final = numbered(
    "sync_runs",
    metadata,
    words("provider"),
    number("dry_run"),
    number("started_at"),
    number("finished_at", null=True),
    words("report", null=True),
    Index(None, "provider", "id"),
)
