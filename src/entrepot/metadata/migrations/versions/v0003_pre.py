"""Jobs, trash, retention, immutable tags, quotas, usage and integrity.

Each feature builds its own part, in the order of `_PARTS`.
"""

from collections.abc import Callable

from alembic import op

revision = "0003_pre"
down_revision = "0002_post"

_PARTS: tuple[Callable[[], None], ...] = ()


def upgrade() -> None:
    """Add the tables and columns of each part."""
    for part in _PARTS:
        part()
    op.execute("UPDATE schema SET version = 3")
