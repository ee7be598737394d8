"""Nothing: what version 1 alone needed has gone with `0002_pre`, which says why."""

revision = "0002_post"
down_revision = "0002_pre"


def upgrade() -> None:
    """Take away nothing."""
