"""Nothing: there is no program older than the first schema."""

revision = "0001_post"
down_revision = "0001_pre"


def upgrade() -> None:
    """Take away nothing."""
