"""`lifecycle`: what becomes of things that are deleted."""

from pydantic import Field

from entrepot.config.section import Section
from entrepot.config.values import Count, Duration

_HOUR = 3600.0
_WEEK = 7 * 24 * _HOUR


class Collection(Section):
    """How much collection may do."""

    rate: Count = Field(default=0, ge=0)
    """Blobs a second that are looked at, at most; 0 for no limit. It keeps a slow disk free for pulls and pushes."""


class Lifecycle(Section):
    """Trash and collection (our own section)."""

    trash: Duration = _WEEK
    """How long what was deleted can be restored; 0 removes it at once. A project may set its own time."""
    grace: Duration = _HOUR
    """How long the collector leaves a blob that nothing refers to. Shorter than a push takes would break pushes."""
    collection: Collection = Collection()
    """How much collection may do."""
