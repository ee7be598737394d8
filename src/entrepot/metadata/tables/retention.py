"""Which tags projects keep, and what was decided about each tag when somebody looked."""

from typing import Final

from sqlalchemy import Column, Index, Table, UniqueConstraint

from entrepot.metadata.columns import BYTES, WHOLE, key, keyed, number, numbered, owned, words
from entrepot.metadata.tables.base import metadata

#: One policy of a project at most; `rules` is a JSON list. When it runs by itself stands in `schedules`.
retention_policies: Final = numbered(
    "retention_policies",
    metadata,
    owned("project_id", "projects.id"),
    words("rules"),
    words("trigger"),
    number("created_at"),
    number("updated_at"),
    UniqueConstraint("project_id"),
)

#: What a run of a policy did in one repository; names are those of the moment. `evaluated_at` is set once all verdicts
#: are written.
retention_tasks: Final = numbered(
    "retention_tasks",
    metadata,
    owned("run_id", "job_runs.id"),
    number("repository_id"),
    words("repository"),
    words("state"),
    number("started_at"),
    number("evaluated_at", null=True),
    number("ended_at", null=True),
    number("total", default=0),
    number("retained", default=0),
    number("removed", default=0),
    Index(None, "run_id", "repository_id", unique=True),
)

#: Verdicts on tags, some hundreds in each piece; `content` is packed.
retention_verdicts: Final = Table(
    "retention_verdicts",
    metadata,
    owned("task_id", "retention_tasks.id", primary_key=True),
    key("piece", WHOLE),
    Column("content", BYTES, nullable=False),
    sqlite_strict=True,
)

#: Manifests whose image says how long a tag of it lasts (`quay.expires-after`), and when to look at its tags.
manifest_expiry: Final = keyed(
    "manifest_expiry",
    metadata,
    owned("manifest_id", "manifests.id", primary_key=True),
    number("seconds"),
    number("due_at"),
    Index(None, "due_at"),
)
