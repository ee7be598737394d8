"""What programs of version 2 wrote is completed, where version 3 was finished by a program that did not yet do that."""

from entrepot.metadata.migrations.versions import v0003_post

revision = "0004_post"
down_revision = "0004_pre"


def upgrade() -> None:
    """Complete it; where all is right, nothing is changed."""
    v0003_post.upgrade()
