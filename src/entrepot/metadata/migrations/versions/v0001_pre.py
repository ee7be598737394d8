"""The first schema."""

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

revision = "0001_pre"
down_revision = None


def upgrade() -> None:
    """Build every table."""
    _state()
    _repositories()
    _blobs()
    _manifests()
    _tags()
    _to_do_and_done()
    _rights()
    op.execute("INSERT INTO schema (version, min_reader, min_writer) VALUES (1, 1, 1)")


def _state() -> None:
    plain("schema", number("version"), number("min_reader"), number("min_writer"), primary("schema", "version"))
    keyed("settings", words("key"), words("value"), primary("settings", "key"))


def _repositories() -> None:
    numbered("projects", words("name"), number("public", default=0), number("created_at"), unique("projects", "name"))
    index("projects", "public", "name")
    numbered(
        "repositories",
        number("project_id"),
        words("name"),
        words("sort_key"),
        number("adopted", default=1),
        number("created_at"),
        foreign("repositories", "project_id", "projects.id"),
        unique("repositories", "name"),
        unique("repositories", "sort_key"),
    )
    index("repositories", "project_id", "sort_key")
    index("repositories", "adopted", "name")


def _blobs() -> None:
    numbered(
        "blobs",
        words("digest"),
        number("size"),
        words("storage_key"),
        words("state", default="'live'"),
        number("generation", default=0),
        number("created_at"),
        number("review_after", null=True),
        number("inode", null=True),
        number("mtime_ns", null=True),
        number("verified_at", null=True),
        unique("blobs", "digest"),
    )
    keyed(
        "repository_blobs",
        number("repository_id"),
        number("blob_id"),
        number("created_at"),
        primary("repository_blobs", "repository_id", "blob_id"),
        foreign("repository_blobs", "repository_id", "repositories.id", "CASCADE"),
        foreign("repository_blobs", "blob_id", "blobs.id"),
    )
    index("repository_blobs", "blob_id")
    keyed(
        "project_blobs",
        number("project_id"),
        number("blob_id"),
        number("references"),
        primary("project_blobs", "project_id", "blob_id"),
        foreign("project_blobs", "project_id", "projects.id", "CASCADE"),
        foreign("project_blobs", "blob_id", "blobs.id"),
    )
    index("project_blobs", "blob_id")


def _manifests() -> None:
    content = sa.Column("content", sa.LargeBinary(), nullable=False)
    plain("manifest_contents", words("digest"), content, primary("manifest_contents", "digest"))
    numbered(
        "manifests",
        number("repository_id"),
        words("digest"),
        words("media_type"),
        words("artifact_type", null=True),
        number("size"),
        words("subject", null=True),
        words("annotations", null=True),
        number("created_at"),
        foreign("manifests", "repository_id", "repositories.id", "CASCADE"),
        foreign("manifests", "digest", "manifest_contents.digest"),
        unique("manifests", "repository_id", "digest"),
    )
    with_subject = sa.text("subject IS NOT NULL")
    op.create_index(
        "ix_manifests_referrers",
        "manifests",
        ["repository_id", "subject", "digest"],
        sqlite_where=with_subject,
        postgresql_where=with_subject,
    )
    index("manifests", "digest")
    _contents_of_manifests()


def _contents_of_manifests() -> None:
    keyed(
        "manifest_blobs",
        number("manifest_id"),
        number("position"),
        number("blob_id"),
        words("role"),
        primary("manifest_blobs", "manifest_id", "position"),
        foreign("manifest_blobs", "manifest_id", "manifests.id", "CASCADE"),
        foreign("manifest_blobs", "blob_id", "blobs.id"),
    )
    index("manifest_blobs", "blob_id")
    keyed(
        "manifest_children",
        number("parent_id"),
        number("position"),
        words("digest"),
        number("child_id", null=True),
        primary("manifest_children", "parent_id", "position"),
        foreign("manifest_children", "parent_id", "manifests.id", "CASCADE"),
        foreign("manifest_children", "child_id", "manifests.id", "SET NULL"),
    )
    index("manifest_children", "child_id")
    index("manifest_children", "digest")


def _tags() -> None:
    numbered(
        "tags",
        number("repository_id"),
        words("name"),
        number("manifest_id"),
        number("created_at"),
        number("updated_at"),
        foreign("tags", "repository_id", "repositories.id", "CASCADE"),
        foreign("tags", "manifest_id", "manifests.id"),
        unique("tags", "repository_id", "name"),
    )
    index("tags", "manifest_id")
    numbered(
        "tag_history",
        number("repository_id"),
        words("name"),
        words("digest"),
        words("action"),
        words("actor"),
        number("at"),
        foreign("tag_history", "repository_id", "repositories.id", "CASCADE"),
    )
    index("tag_history", "repository_id", "name", "id")


def _to_do_and_done() -> None:
    numbered("review_queue", words("kind"), number("subject_id"), number("review_after"), words("reason"))
    index("review_queue", "review_after")
    numbered("outbox", words("topic"), words("payload"), number("created_at"))
    numbered(
        "events",
        words("kind"),
        words("repository", null=True),
        words("digest", null=True),
        words("tag", null=True),
        words("actor"),
        number("at"),
        words("detail", null=True),
    )


def _rights() -> None:
    numbered(
        "principals",
        words("kind"),
        words("name"),
        words("secret", null=True),
        number("epoch", default=0),
        number("disabled", default=0),
        number("created_at"),
        number("updated_at"),
        unique("principals", "kind", "name"),
    )
    numbered(
        "grants",
        number("principal_id", null=True),
        words("audience", null=True),
        words("resource"),
        words("actions"),
        words("origin"),
        number("created_at"),
        foreign("grants", "principal_id", "principals.id", "CASCADE"),
    )
    index("grants", "principal_id")
    keyed(
        "refresh_tokens",
        words("token_hash"),
        number("principal_id", null=True),
        words("subject"),
        words("service"),
        words("scopes"),
        number("created_at"),
        number("expires_at"),
        primary("refresh_tokens", "token_hash"),
        foreign("refresh_tokens", "principal_id", "principals.id", "CASCADE"),
    )
    index("refresh_tokens", "principal_id")
    index("refresh_tokens", "expires_at")
