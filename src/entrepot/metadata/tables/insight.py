"""Where the space went: what analyses found, what was used each day, and what layers look like inside."""

from typing import Final

from sqlalchemy import Column, Index, Table

from entrepot.metadata.columns import BYTES, key, keyed, number, numbered, owned, words
from entrepot.metadata.tables.base import metadata

_WHOLE: Final = number("id").type

#: Analyses, of which the last finished one is shown; `cursor` says how far one is, `totals` what it found in all. Both
#: are JSON.
analyses: Final = numbered(
    "analyses",
    metadata,
    number("started_at"),
    number("finished_at", null=True),
    words("cursor"),
    words("totals"),
)

#: What an analysis found of each project and repository, as `kind` says; `subject_id` is the number of either. A
#: repository has its project beside it. Nothing else in the project needs what is its own; nothing at all what is
#: unique.
analysis_parts: Final = keyed(
    "analysis_parts",
    metadata,
    owned("analysis_id", "analyses.id", primary_key=True),
    key("kind"),
    key("subject_id", _WHOLE),
    number("project_id"),
    number("logical_bytes", default=0),
    number("stored_bytes", default=0),
    number("own_bytes", default=0),
    number("unique_bytes", default=0),
    number("trash_bytes", default=0),
    number("manifests", default=0),
    Index(None, "analysis_id", "kind", "project_id", "stored_bytes"),
    Index(None, "analysis_id", "kind", "stored_bytes"),
)

#: The largest images and layers that an analysis found, of a project or (where `scope` is 0) of all.
analysis_tops: Final = keyed(
    "analysis_tops",
    metadata,
    owned("analysis_id", "analyses.id", primary_key=True),
    key("kind"),
    key("scope", _WHOLE),
    key("subject_id", _WHOLE),
    number("bytes"),
    Index(None, "analysis_id", "kind", "scope", "bytes"),
)

#: What a project used at the end of a day, counted in days since 1970 (UTC). A day on which nothing changed has no row.
usage_days: Final = keyed(
    "usage_days",
    metadata,
    owned("project_id", "projects.id", primary_key=True),
    key("day", _WHOLE),
    number("blob_bytes"),
    number("full_bytes"),
    number("manifest_bytes"),
    number("manifests"),
    Index(None, "day"),
)

#: What there was at the end of a day: the disk below the blobs, where there is one, and what is stored on it as far as
#: the last analysis found.
disk_days: Final = keyed(
    "disk_days",
    metadata,
    key("day", _WHOLE),
    number("total_bytes", null=True),
    number("free_bytes", null=True),
    number("stored_bytes", null=True),
)

#: What was seen inside a layer, to find others like it; `sketch` holds the smallest hashes of its chunks. `outcome`
#: says whether it could be read.
layer_sketches: Final = Table(
    "layer_sketches",
    metadata,
    owned("blob_id", "blobs.id", primary_key=True),
    number("version"),
    words("outcome"),
    number("expanded_bytes"),
    number("chunks"),
    Column("sketch", BYTES, nullable=False),
    number("looked_at"),
    sqlite_strict=True,
)
