"""Counts and sums that are kept as they change, and what else the faults found in use ask of the database.

Programs of version 4 may go on beside it.
"""

import sqlalchemy as sa
from alembic import op

from entrepot.metadata.migrations import kept_sums, monthly_events, noted_changes
from entrepot.metadata.migrations.columns import foreign, index, keyed, number, primary, words

revision = "0005_pre"
down_revision = "0004_post"


def upgrade() -> None:
    """Add it."""
    op.execute("UPDATE schema SET version = 5")
    op.add_column("blobs", words("etag", null=True))
    _add_trusting_robots()
    _add_kept_sums()
    _add_files_to_be_collected()
    _add_noted_changes()
    for statement in monthly_events.statements(op.get_context().dialect.name):
        op.execute(statement)


def _add_noted_changes() -> None:
    keyed("changes", words("name"), number("number", default=0), primary("changes", "name"))
    for statement in noted_changes.statements(op.get_context().dialect.name):
        op.execute(statement)


def _add_trusting_robots() -> None:
    trusting = sa.text("trust IS NOT NULL")
    op.create_index("ix_robots_trusting", "robots", ["principal_id"], sqlite_where=trusting, postgresql_where=trusting)


def _add_kept_sums() -> None:
    """Add what lists and figures show; a job adds what is there already."""
    op.add_column("repositories", number("artifact_count", default=0))
    keyed(
        "artifacts",
        number("manifest_id"),
        number("repository_id"),
        foreign("artifacts", "manifest_id", "manifests.id", "CASCADE"),
        primary("artifacts", "manifest_id"),
    )
    index("artifacts", "repository_id", "manifest_id")
    keyed(
        "sums",
        words("name"),
        number("part"),
        number("value", default=0),
        number("through", default=0),
        primary("sums", "name", "part"),
    )
    for statement in kept_sums.statements(op.get_context().dialect.name):
        op.execute(statement)


def _add_files_to_be_collected() -> None:
    files = sa.text("digest IS NOT NULL")
    op.create_index("ix_review_queue_files", "review_queue", ["digest"], sqlite_where=files, postgresql_where=files)
