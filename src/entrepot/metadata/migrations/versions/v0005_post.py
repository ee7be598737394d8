"""Nothing is taken away with the programs of version 4."""

revision = "0005_post"
down_revision = "0005_pre"


def upgrade() -> None:
    """Do nothing."""
