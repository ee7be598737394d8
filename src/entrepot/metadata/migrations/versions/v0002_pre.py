"""Users, groups, robots, keys, roles, labels and the audit log.

Programs of version 1 must not go on beside it: they would decide on rights without knowing of roles, groups and grants
that expire. So the minimum is raised here and not in a `post`, and the table of grants is built anew. It is the one
table that is copied; it is small.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from entrepot.metadata.migrations.columns import (
    foreign,
    index,
    keyed,
    number,
    numbered,
    primary,
    unique,
    words,
)

revision = "0002_pre"
down_revision = "0001_post"


def upgrade() -> None:
    """Add tables and columns, and give the grants of version 1 their roles."""
    _columns()
    _projects()
    _people()
    _machines()
    _roles()
    _grants()
    op.execute("UPDATE schema SET version = 2, min_reader = 2, min_writer = 2")


def _add(table: str, *columns: sa.Column[Any]) -> None:
    for column in columns:
        op.add_column(table, column)


def _columns() -> None:
    _add("projects", number("internal", default=0), number("owner_id", null=True), number("updated_at", default=0))
    index("projects", "internal", "name")
    _add("repositories", words("description", null=True), number("updated_at", default=0))
    _add("repositories", number("pull_count", default=0))
    index("manifests", "repository_id", "id")
    _add("principals", number("expires_at", null=True))
    _add("refresh_tokens", number("key_id", null=True))
    texts = ("project", "subject", "address", "credential", "request", "result")
    _add("events", *(words(name, null=True) for name in texts), number("count", default=1))
    _add("events", number("sequence", null=True), words("seal", null=True))
    op.create_index("ix_events_sequence", "events", ["sequence"], unique=True)
    index("events", "project", "id")
    index("events", "actor", "id")
    unsealed = sa.text("seal IS NULL")
    op.create_index("ix_events_unsealed", "events", ["id"], sqlite_where=unsealed, postgresql_where=unsealed)


def _projects() -> None:
    keyed(
        "project_metadata",
        number("project_id"),
        words("key"),
        words("value"),
        primary("project_metadata", "project_id", "key"),
        foreign("project_metadata", "project_id", "projects.id", "CASCADE"),
    )
    keyed(
        "manifest_pulls",
        number("manifest_id"),
        number("count"),
        number("last_at"),
        primary("manifest_pulls", "manifest_id"),
        foreign("manifest_pulls", "manifest_id", "manifests.id", "CASCADE"),
    )
    numbered(
        "labels",
        number("project_id", null=True),
        words("name"),
        words("description"),
        words("color"),
        number("created_at"),
        number("updated_at"),
        foreign("labels", "project_id", "projects.id", "CASCADE"),
    )
    index("labels", "project_id", "name")
    keyed(
        "manifest_labels",
        number("manifest_id"),
        number("label_id"),
        primary("manifest_labels", "manifest_id", "label_id"),
        foreign("manifest_labels", "manifest_id", "manifests.id", "CASCADE"),
        foreign("manifest_labels", "label_id", "labels.id", "CASCADE"),
    )
    index("manifest_labels", "label_id")


def _people() -> None:
    keyed(
        "users",
        number("principal_id"),
        words("email", null=True),
        words("realname"),
        words("comment"),
        words("provider"),
        words("subject", null=True),
        words("totp", null=True),
        words("recovery", null=True),
        number("must_change", default=0),
        number("password_at", null=True),
        number("checked_at", null=True),
        words("refresh", null=True),
        primary("users", "principal_id"),
        foreign("users", "principal_id", "principals.id", "CASCADE"),
    )
    op.create_index("ix_users_provider_subject", "users", ["provider", "subject"], unique=True)
    index("users", "provider", "checked_at")
    index("users", "email")
    keyed(
        "groups",
        number("principal_id"),
        words("provider"),
        words("subject", null=True),
        primary("groups", "principal_id"),
        foreign("groups", "principal_id", "principals.id", "CASCADE"),
    )
    op.create_index("ix_groups_provider_subject", "groups", ["provider", "subject"], unique=True)
    keyed(
        "memberships",
        number("principal_id"),
        number("group_id"),
        primary("memberships", "principal_id", "group_id"),
        foreign("memberships", "principal_id", "principals.id", "CASCADE"),
        foreign("memberships", "group_id", "principals.id", "CASCADE"),
    )
    index("memberships", "group_id")
    op.execute(
        "INSERT INTO users (principal_id, realname, comment, provider) "
        "SELECT id, '', '', 'local' FROM principals WHERE kind = 'user'"
    )


def _machines() -> None:
    keyed(
        "robots",
        number("principal_id"),
        number("project_id", null=True),
        words("description"),
        number("duration"),
        words("creator"),
        words("trust", null=True),
        primary("robots", "principal_id"),
        foreign("robots", "principal_id", "principals.id", "CASCADE"),
        foreign("robots", "project_id", "projects.id", "CASCADE"),
    )
    index("robots", "project_id")
    numbered(
        "api_keys",
        number("principal_id"),
        words("name"),
        words("hash"),
        words("hint"),
        words("limits", null=True),
        number("created_at"),
        number("expires_at", null=True),
        number("last_used_at", null=True),
        foreign("api_keys", "principal_id", "principals.id", "CASCADE"),
        unique("api_keys", "hash"),
        unique("api_keys", "principal_id", "name"),
    )
    keyed(
        "one_time_links",
        words("hash"),
        number("principal_id"),
        words("purpose"),
        number("expires_at"),
        primary("one_time_links", "hash"),
        foreign("one_time_links", "principal_id", "principals.id", "CASCADE"),
    )
    index("one_time_links", "principal_id")
    numbered("data_keys", words("wrapped"), words("wrapped_by"), number("created_at"))
    numbered(
        "sync_runs",
        words("provider"),
        number("dry_run"),
        number("started_at"),
        number("finished_at", null=True),
        words("report", null=True),
    )
    index("sync_runs", "provider", "id")


def _roles() -> None:
    """Two rows must be there before grants refer to them; the program fills in the rest at its start."""
    numbered(
        "roles",
        words("name"),
        words("description"),
        words("permissions"),
        number("built_in", default=0),
        number("created_at"),
        number("updated_at"),
        unique("roles", "name"),
    )
    op.execute(
        "INSERT INTO roles (id, name, description, permissions, built_in, created_at, updated_at) "
        "VALUES (100, 'systemAdmin', '', '', 1, 0, 0), (101, 'registry2', '', '', 1, 0, 0)"
    )


def _grants() -> None:
    op.execute("CREATE TABLE old_grants AS SELECT * FROM grants")
    op.drop_table("grants")
    numbered(
        "grants",
        number("principal_id", null=True),
        words("audience", null=True),
        number("role_id", null=True),
        words("permissions", null=True),
        number("project_id", null=True),
        words("repositories", null=True),
        words("tags", null=True),
        number("expires_at", null=True),
        words("origin"),
        number("created_at"),
        foreign("grants", "principal_id", "principals.id", "CASCADE"),
        foreign("grants", "role_id", "roles.id"),
        foreign("grants", "project_id", "projects.id", "CASCADE"),
    )
    index("grants", "principal_id", "project_id")
    index("grants", "project_id")
    index("grants", "role_id")
    audience = sa.text("audience IS NOT NULL")
    op.create_index("ix_grants_audience", "grants", ["audience"], sqlite_where=audience, postgresql_where=audience)
    op.execute(
        "INSERT INTO grants (principal_id, audience, role_id, origin, created_at) "
        "SELECT principal_id, audience, CASE actions WHEN '*' THEN 100 ELSE 101 END, "
        "origin, created_at FROM old_grants WHERE resource = '*' ORDER BY id"
    )
    op.drop_table("old_grants")
