"""Which blobs may be damaged, as far as their file and their row can tell.

The row of a blob remembers which file was found to have the digest, and when. A blob is suspect when its file is
another or was touched since, when that was long ago, when it was before the machine last stopped without warning, or
when it never was (bytes taken over from registry:2). Bytes that rot without the file system's knowledge look like whole
ones until the age is over; the scrub looks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from entrepot.metadata import clock

DAY = 24 * 3600.0


class Remembered(Protocol):
    """What the row of a blob remembers of its file."""

    @property
    def inode(self) -> int | None:
        """The number of the file."""

    @property
    def mtime_ns(self) -> int | None:
        """When the file was last written to."""

    @property
    def verified_at(self) -> int | None:
        """When it was found to have the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What makes a blob suspect."""

    #: Seconds for which a verification counts; 0 lets none count.
    age: float = 90 * DAY
    #: When the machine was last found to have stopped without warning, in microseconds since the epoch; 0 for never.
    unclean_stop: int = 0

    def of(self, blob: Remembered, inode: int | None, mtime_ns: int | None) -> bool:
        """Tell whether a blob is suspect whose file is the one described, of the right size."""
        verified_at = blob.verified_at
        if verified_at is None or inode != blob.inode or mtime_ns != blob.mtime_ns:
            return True
        return verified_at <= self.unclean_stop or verified_at <= clock.after(-self.age)
