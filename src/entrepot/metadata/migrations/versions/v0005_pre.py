"""Counts and sums that are kept as they change, and what else the faults found in use ask of the database.

Programs of version 4 may go on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_pre"
down_revision = "0004_post"


def upgrade() -> None:
    """Add it."""
    op.execute("UPDATE schema SET version = 5")
    _add_trusting_robots()


def _add_trusting_robots() -> None:
    trusting = sa.text("trust IS NOT NULL")
    op.create_index("ix_robots_trusting", "robots", ["principal_id"], sqlite_where=trusting, postgresql_where=trusting)
