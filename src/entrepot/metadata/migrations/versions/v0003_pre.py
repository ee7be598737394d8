"""Jobs, trash, retention, immutable tags, quotas, usage and integrity.

Each feature builds its own part, in the order of `_PARTS`.
"""

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from entrepot.metadata.migrations.columns import number, words

revision = "0003_pre"
down_revision = "0002_post"


def _collection() -> None:
    op.add_column("manifests", number("review_after", null=True))
    op.add_column("review_queue", words("digest", null=True))
    aliases = sa.text("storage_key <> digest")
    op.create_index("ix_blobs_aliases", "blobs", ["storage_key"], sqlite_where=aliases, postgresql_where=aliases)


_PARTS: tuple[Callable[[], None], ...] = (_collection,)


def upgrade() -> None:
    """Add the tables and columns of each part."""
    for part in _PARTS:
        part()
    op.execute("UPDATE schema SET version = 3")
