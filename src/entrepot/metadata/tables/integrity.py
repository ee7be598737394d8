"""What was found damaged or lost."""

from typing import Final

from sqlalchemy import Index, text

from entrepot.metadata.columns import number, numbered, words
from entrepot.metadata.tables.base import metadata

#: What was found wrong with stored bytes, and when that ended; `kind` and `subject` (a digest) say what. At most one
#: finding of a kind is open for each subject.
findings: Final = numbered(
    "findings",
    metadata,
    words("kind"),
    words("subject"),
    words("detail"),
    words("found_by"),
    number("found_at"),
    number("ended_at", null=True),
    words("ended_by", null=True),
    Index(
        "ix_findings_open",
        "subject",
        "kind",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
