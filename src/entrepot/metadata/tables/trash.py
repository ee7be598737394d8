"""What was deleted and can be restored, and which tags cannot be deleted."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index

from entrepot.metadata.columns import WHOLE, number, numbered, owned, words
from entrepot.metadata.tables.base import metadata

#: `kind` is tag, manifest, repository or project. Names are those of the moment, as stored. `place_id` is the shadow
#: repository that holds the manifest, or the deleted repository itself; `repository_id` the one it was deleted from,
#: which may be gone. `tags` is a JSON list of names. `deletion` is the same for what was deleted by one call, and for
#: what went later because of it.
trash: Final = numbered(
    "trash",
    metadata,
    words("kind"),
    owned("project_id", "projects.id"),
    words("project"),
    number("repository_id", null=True),
    words("repository", null=True),
    Column("place_id", WHOLE, ForeignKey("repositories.id", ondelete="CASCADE")),
    words("digest", null=True),
    words("tags"),
    words("deletion"),
    words("actor"),
    number("deleted_at"),
    number("expires_at"),
    Index(None, "expires_at", "id"),
    Index(None, "project_id", "id"),
    Index(None, "repository_id", "digest"),
    Index(None, "place_id", "digest"),
    Index(None, "deletion"),
)

#: Which tags of a project can be neither moved nor deleted; the selectors are JSON lists.
immutable_rules: Final = numbered(
    "immutable_rules",
    metadata,
    owned("project_id", "projects.id"),
    number("priority", default=0),
    number("disabled", default=0),
    words("tag_selectors"),
    words("repository_selectors"),
    Index(None, "project_id", "id"),
)
