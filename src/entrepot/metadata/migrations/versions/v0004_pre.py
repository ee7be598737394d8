"""Security keys.

Programs of version 3 may go on beside it, but know of one-time codes alone: keys are registered once none of them runs.
"""

from alembic import op

from entrepot.metadata.migrations.columns import foreign, number, numbered, unique, words

revision = "0004_pre"
down_revision = "0003_post"


def upgrade() -> None:
    """Add the table."""
    numbered(
        "security_keys",
        number("principal_id"),
        *(words(name) for name in ("name", "credential", "public_key", "host")),
        number("sign_count"),
        *(words(name) for name in ("aaguid", "transports")),
        number("backed_up", default=0),
        number("created_at"),
        number("last_used_at", null=True),
        foreign("security_keys", "principal_id", "principals.id", "CASCADE"),
        unique("security_keys", "credential"),
        unique("security_keys", "principal_id", "name"),
    )
    op.execute("UPDATE schema SET version = 4")
