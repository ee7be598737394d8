"""The tables of the truth: projects, repositories, manifests, blobs, tags, rights and what is to be done.

The first migration builds the same tables; a test compares both on each database. A later change is a migration
and a change here. There are no CHECK constraints and no enumerations: SQLite could change them only by copying
the table.

Deleting a repository takes its manifests, tags and links with it; a manifest takes its contents' links. Nothing
takes a blob with it: a blob's row goes only when no row refers to it any more.
"""

from entrepot.metadata.tables.base import changes, metadata, schema, settings
from entrepot.metadata.tables.contents import (
    artifacts,
    blobs,
    labels,
    manifest_blobs,
    manifest_children,
    manifest_contents,
    manifest_labels,
    manifest_pulls,
    manifests,
    project_blobs,
    project_metadata,
    projects,
    repositories,
    repository_blobs,
    review_queue,
    tag_history,
    tags,
)
from entrepot.metadata.tables.happenings import events, outbox, sync_runs
from entrepot.metadata.tables.insight import (
    analyses,
    analysis_parts,
    analysis_tops,
    disk_days,
    layer_sketches,
    usage_days,
)
from entrepot.metadata.tables.integrity import findings
from entrepot.metadata.tables.jobs import job_lines, job_pauses, job_runs, job_steps, schedules
from entrepot.metadata.tables.people import (
    api_keys,
    data_keys,
    grants,
    groups,
    memberships,
    one_time_links,
    principals,
    refresh_tokens,
    robots,
    roles,
    security_keys,
    users,
)
from entrepot.metadata.tables.retention import manifest_expiry, retention_policies, retention_tasks, retention_verdicts
from entrepot.metadata.tables.trash import immutable_rules, trash
from entrepot.metadata.tables.usage import project_reservations, project_usage, sums

__all__ = [
    "analyses",
    "analysis_parts",
    "analysis_tops",
    "api_keys",
    "artifacts",
    "blobs",
    "changes",
    "data_keys",
    "disk_days",
    "events",
    "findings",
    "grants",
    "groups",
    "immutable_rules",
    "job_lines",
    "job_pauses",
    "job_runs",
    "job_steps",
    "labels",
    "layer_sketches",
    "manifest_blobs",
    "manifest_children",
    "manifest_contents",
    "manifest_expiry",
    "manifest_labels",
    "manifest_pulls",
    "manifests",
    "memberships",
    "metadata",
    "one_time_links",
    "outbox",
    "principals",
    "project_blobs",
    "project_metadata",
    "project_reservations",
    "project_usage",
    "projects",
    "refresh_tokens",
    "repositories",
    "repository_blobs",
    "retention_policies",
    "retention_tasks",
    "retention_verdicts",
    "review_queue",
    "robots",
    "roles",
    "schedules",
    "schema",
    "security_keys",
    "settings",
    "sums",
    "sync_runs",
    "tag_history",
    "tags",
    "trash",
    "usage_days",
    "users",
]
