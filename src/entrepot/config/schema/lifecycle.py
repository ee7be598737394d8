"""`lifecycle`: what becomes of things that are deleted."""

from typing import Self

from pydantic import Field, model_validator

from entrepot.config.section import Section
from entrepot.config.values import Count, Duration, Flag, refuse

_HOUR = 3600.0
_WEEK = 7 * 24 * _HOUR


class Collection(Section):
    """How much collection may do."""

    rate: Count = Field(default=0, ge=0)
    """Blobs a second that are looked at, at most; 0 for no limit. It keeps a slow disk free for pulls and pushes."""


class Watermark(Section):
    """What happens when the disk runs low; shares of the disk that are free, in percent."""

    low: Count = Field(default=5, ge=0, le=99)
    """Below it the oldest goes from the trash, then what scheduled retention policies do not keep; 0: never."""
    high: Count = Field(default=10, ge=1, le=100)
    """At this, clean-up ends. What waits for the end of the grace counts as free."""
    untagged: Flag = False
    """Lets manifests go that have no tag and that nothing needs, after all else."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low and self.low >= self.high:
            raise refuse("low must be below high")
        return self


class Expiry(Section):
    """Images that say how long their tags last, by the label or annotation `quay.expires-after`: 12h, 2d, 3w."""

    enabled: Flag = False
    """Heeds it. Labels come along from base images: look first, with a dry run of the job `image-expiry`."""
    interval: Duration = 10 * 60.0
    """Time between two looks."""


class Lifecycle(Section):
    """Trash and collection (our own section)."""

    trash: Duration = _WEEK
    """How long what was deleted can be restored; 0 removes it at once. A project may set its own time."""
    grace: Duration = _HOUR
    """How long the collector leaves a blob that nothing refers to. Shorter than a push takes would break pushes."""
    collection: Collection = Collection()
    """How much collection may do."""
    expiry: Expiry = Expiry()
    """Images that say how long their tags last, by the label or annotation `quay.expires-after`."""
    watermark: Watermark = Watermark()
    """What happens when the disk runs low."""
