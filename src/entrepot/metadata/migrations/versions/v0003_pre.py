"""Jobs, trash, retention, immutable tags, quotas, usage, its analysis, and integrity.

Each feature builds its own part, in the order of `_PARTS`.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

from entrepot.metadata.migrations.columns import (
    foreign,
    index,
    keyed,
    number,
    numbered,
    plain,
    primary,
    unique,
    words,
)

revision = "0003_pre"
down_revision = "0002_post"

_REPOSITORY_OF_MANIFEST = (
    "UPDATE manifest_blobs SET repository_id = "
    "(SELECT m.repository_id FROM manifests AS m WHERE m.id = manifest_blobs.manifest_id)"
)


def _collection() -> None:
    op.add_column("manifests", number("review_after", null=True))
    op.add_column("review_queue", words("digest", null=True))
    aliases = sa.text("storage_key <> digest")
    op.create_index("ix_blobs_aliases", "blobs", ["storage_key"], sqlite_where=aliases, postgresql_where=aliases)


def _jobs() -> None:
    numbered(
        "job_runs",
        *(words(name) for name in ("kind", "subject")),
        number("version"),
        *(words(name) for name in ("parameters", "cause", "actor", "state")),
        number("attempt", default=0),
        number("due_at"),
        words("holder", null=True),
        number("lease_until", null=True),
        number("stop_at", null=True),
        number("done", default=0),
        number("total", null=True),
        words("result", null=True),
        words("error", null=True),
        number("created_at"),
        number("started_at", null=True),
        number("updated_at"),
        number("ended_at", null=True),
    )
    index("job_runs", "kind", "id")
    active, running = sa.text("ended_at IS NULL"), sa.text("state = 'Running'")
    op.create_index("ix_job_runs_active", "job_runs", ["kind", "due_at"], sqlite_where=active, postgresql_where=active)
    op.create_index(
        "ix_job_runs_running",
        "job_runs",
        ["kind", "subject"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    _of_runs(
        "job_steps",
        "name",
        words("name"),
        number("started_at"),
        number("ended_at", null=True),
        words("result", null=True),
    )
    _of_runs("job_lines", "number", number("number"), number("at"), words("text"))
    numbered(
        "schedules",
        *(words(name) for name in ("kind", "subject", "cron", "time_zone", "parameters", "origin")),
        number("next_at", null=True),
        number("created_at"),
        number("updated_at"),
    )
    op.create_index("ix_schedules_kind_subject", "schedules", ["kind", "subject"], unique=True)
    index("schedules", "next_at")
    keyed("job_pauses", words("kind"), words("actor"), number("at"), primary("job_pauses", "kind"))


def _of_runs(table: str, part: str, *columns: sa.Column[Any]) -> None:
    """Create a table of what belongs to a run and goes with it."""
    owner = foreign(table, "run_id", "job_runs.id", "CASCADE")
    keyed(table, number("run_id"), *columns, primary(table, "run_id", part), owner)


def _integrity() -> None:
    numbered(
        "findings",
        words("kind"),
        words("subject"),
        words("detail"),
        words("found_by"),
        number("found_at"),
        number("ended_at", null=True),
        words("ended_by", null=True),
    )
    is_open = sa.text("ended_at IS NULL")
    columns = ["subject", "kind"]
    op.create_index(
        "ix_findings_open", "findings", columns, unique=True, sqlite_where=is_open, postgresql_where=is_open
    )


def _trash() -> None:
    numbered(
        "trash",
        words("kind"),
        number("project_id"),
        words("project"),
        number("repository_id", null=True),
        words("repository", null=True),
        number("place_id", null=True),
        words("digest", null=True),
        words("tags"),
        words("deletion"),
        words("actor"),
        number("deleted_at"),
        number("expires_at"),
        foreign("trash", "project_id", "projects.id", "CASCADE"),
        foreign("trash", "place_id", "repositories.id", "CASCADE"),
    )
    for columns in (("expires_at", "id"), ("project_id", "id"), ("repository_id", "digest"), ("place_id", "digest")):
        index("trash", *columns)
    index("trash", "deletion")
    numbered(
        "immutable_rules",
        number("project_id"),
        number("priority", default=0),
        number("disabled", default=0),
        words("tag_selectors"),
        words("repository_selectors"),
        foreign("immutable_rules", "project_id", "projects.id", "CASCADE"),
    )
    index("immutable_rules", "project_id", "id")
    op.add_column("repository_blobs", number("lapses_at", null=True))
    lapsing = sa.text("lapses_at IS NOT NULL")
    op.create_index(
        "ix_repository_blobs_lapsing",
        "repository_blobs",
        ["lapses_at"],
        sqlite_where=lapsing,
        postgresql_where=lapsing,
    )
    op.add_column("manifest_blobs", number("repository_id", default=0))
    op.execute(_REPOSITORY_OF_MANIFEST)
    op.drop_index("ix_manifest_blobs_blob_id", "manifest_blobs")
    index("manifest_blobs", "blob_id", "repository_id")


_CHARGED = """
INSERT INTO project_usage (project_id, blob_bytes, full_bytes, manifest_bytes, manifests)
SELECT p.id,
  COALESCE((SELECT SUM(b.size) FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = p.id), 0),
  COALESCE((SELECT SUM(b.size * u."references") FROM project_blobs AS u JOIN blobs AS b ON b.id = u.blob_id
    WHERE u.project_id = p.id), 0),
  COALESCE((SELECT SUM(m.size) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id
    WHERE r.project_id = p.id), 0),
  (SELECT COUNT(*) FROM repositories AS r JOIN manifests AS m ON m.repository_id = r.id WHERE r.project_id = p.id)
FROM projects AS p"""


def _usage() -> None:
    keyed(
        "project_usage",
        number("project_id"),
        *(
            number(name, default=0)
            for name in ("blob_bytes", "full_bytes", "manifest_bytes", "manifests", "reserved_bytes")
        ),
        words("charge", null=True),
        *(
            number(f"{bound}_{what}", null=True)
            for what in ("bytes", "manifests", "repositories")
            for bound in ("hard", "soft")
        ),
        number("updated_at", default=0),
        primary("project_usage", "project_id"),
        foreign("project_usage", "project_id", "projects.id", "CASCADE"),
    )
    keyed(
        "project_reservations",
        number("project_id"),
        number("blob_id"),
        number("size"),
        number("expires_at"),
        primary("project_reservations", "project_id", "blob_id"),
        foreign("project_reservations", "project_id", "projects.id", "CASCADE"),
        foreign("project_reservations", "blob_id", "blobs.id", "CASCADE"),
    )
    index("project_reservations", "project_id", "expires_at")
    index("project_reservations", "blob_id")
    op.execute(_CHARGED)


def _insight() -> None:
    numbered(
        "analyses",
        number("started_at"),
        number("finished_at", null=True),
        *(words(name) for name in ("cursor", "totals")),
    )
    keyed(
        "analysis_parts",
        number("analysis_id"),
        words("kind"),
        number("subject_id"),
        number("project_id"),
        *(
            number(name, default=0)
            for name in ("logical_bytes", "stored_bytes", "own_bytes", "unique_bytes", "trash_bytes", "manifests")
        ),
        primary("analysis_parts", "analysis_id", "kind", "subject_id"),
        foreign("analysis_parts", "analysis_id", "analyses.id", "CASCADE"),
    )
    index("analysis_parts", "analysis_id", "kind", "project_id", "stored_bytes")
    index("analysis_parts", "analysis_id", "kind", "stored_bytes")
    keyed(
        "analysis_tops",
        number("analysis_id"),
        words("kind"),
        number("scope"),
        number("subject_id"),
        number("bytes"),
        primary("analysis_tops", "analysis_id", "kind", "scope", "subject_id"),
        foreign("analysis_tops", "analysis_id", "analyses.id", "CASCADE"),
    )
    index("analysis_tops", "analysis_id", "kind", "scope", "bytes")
    _days()
    plain(
        "layer_sketches",
        number("blob_id"),
        number("version"),
        words("outcome"),
        number("expanded_bytes"),
        number("chunks"),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        number("looked_at"),
        primary("layer_sketches", "blob_id"),
        foreign("layer_sketches", "blob_id", "blobs.id", "CASCADE"),
    )


def _days() -> None:
    keyed(
        "usage_days",
        number("project_id"),
        number("day"),
        *(number(name) for name in ("blob_bytes", "full_bytes", "manifest_bytes", "manifests")),
        primary("usage_days", "project_id", "day"),
        foreign("usage_days", "project_id", "projects.id", "CASCADE"),
    )
    index("usage_days", "day")
    keyed(
        "disk_days",
        number("day"),
        *(number(name, null=True) for name in ("total_bytes", "free_bytes", "stored_bytes")),
        primary("disk_days", "day"),
    )


def _retention() -> None:
    numbered(
        "retention_policies",
        number("project_id"),
        words("rules"),
        words("trigger"),
        number("created_at"),
        number("updated_at"),
        unique("retention_policies", "project_id"),
        foreign("retention_policies", "project_id", "projects.id", "CASCADE"),
    )
    numbered(
        "retention_tasks",
        number("run_id"),
        number("repository_id"),
        words("repository"),
        words("state"),
        number("started_at"),
        number("evaluated_at", null=True),
        number("ended_at", null=True),
        *(number(name, default=0) for name in ("total", "retained", "removed")),
        foreign("retention_tasks", "run_id", "job_runs.id", "CASCADE"),
    )
    op.create_index(
        "ix_retention_tasks_run_id_repository_id", "retention_tasks", ["run_id", "repository_id"], unique=True
    )
    plain(
        "retention_verdicts",
        number("task_id"),
        number("piece"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        primary("retention_verdicts", "task_id", "piece"),
        foreign("retention_verdicts", "task_id", "retention_tasks.id", "CASCADE"),
    )
    keyed(
        "manifest_expiry",
        number("manifest_id"),
        number("seconds"),
        number("due_at"),
        primary("manifest_expiry", "manifest_id"),
        foreign("manifest_expiry", "manifest_id", "manifests.id", "CASCADE"),
    )
    index("manifest_expiry", "due_at")


_PARTS: tuple[Callable[[], None], ...] = (_collection, _jobs, _integrity, _trash, _usage, _insight, _retention)


def upgrade() -> None:
    """Add the tables and columns of each part."""
    for part in _PARTS:
        part()
    op.execute("UPDATE schema SET version = 3")
