"""How much of the storage each project uses, and how much it may."""

from typing import Final

from sqlalchemy import Index

from entrepot.metadata.columns import WHOLE, key, keyed, number, owned, words
from entrepot.metadata.tables.base import metadata

#: What a project uses, kept in step with `project_blobs` and `manifests` by every transaction that changes them.
#: `blob_bytes` counts each blob of the project once, `full_bytes` once for each manifest that refers to it;
#: `reserved_bytes` is the sum of `project_reservations`. The limits are empty where there is none; `charge` is shared
#: or full and says which of the sums counts.
project_usage: Final = keyed(
    "project_usage",
    metadata,
    owned("project_id", "projects.id", primary_key=True),
    number("blob_bytes", default=0),
    number("full_bytes", default=0),
    number("manifest_bytes", default=0),
    number("manifests", default=0),
    number("reserved_bytes", default=0),
    words("charge", null=True),
    number("hard_bytes", null=True),
    number("soft_bytes", null=True),
    number("hard_manifests", null=True),
    number("soft_manifests", null=True),
    number("hard_repositories", null=True),
    number("soft_repositories", null=True),
    number("updated_at", default=0),
)

#: Blobs that were committed to a project with a limit and that none of its manifests refers to yet.
project_reservations: Final = keyed(
    "project_reservations",
    metadata,
    owned("project_id", "projects.id", primary_key=True),
    owned("blob_id", "blobs.id", primary_key=True),
    number("size"),
    number("expires_at"),
    Index(None, "project_id", "expires_at"),
    Index(None, "blob_id"),
)

#: Sums over everything, kept by triggers (see `migrations.kept_sums`). `through` is the last row id that is in them.
sums: Final = keyed(
    "sums", metadata, key("name"), key("part", WHOLE), number("value", default=0), number("through", default=0)
)
