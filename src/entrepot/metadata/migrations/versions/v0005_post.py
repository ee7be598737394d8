"""What programs of version 4 counted in their way is counted again, by a job: nothing is taken away with them."""

from alembic import op

revision = "0005_post"
down_revision = "0005_pre"


def upgrade() -> None:
    """Let the sums of all projects be added up from nothing."""
    op.execute("DELETE FROM settings WHERE key = 'usage.settled'")
