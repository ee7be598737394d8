"""Nothing yet: version 2 leaves nothing behind that version 3 must take away."""

revision = "0003_post"
down_revision = "0003_pre"


def upgrade() -> None:
    """Take away nothing."""
