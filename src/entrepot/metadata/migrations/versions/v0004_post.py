"""Nothing: version 3 leaves nothing behind that version 4 must take away."""

revision = "0004_post"
down_revision = "0004_pre"


def upgrade() -> None:
    """Take away nothing."""
