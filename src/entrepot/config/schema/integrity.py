"""`integrity`: how stored bytes are watched."""

from pydantic import Field

from entrepot.config.section import Section
from entrepot.config.values import Count, Duration, Flag

_DAY = 24 * 3600.0
_MIB = 1024 * 1024


class Scrub(Section):
    """The reading of all stored bytes in the background."""

    enabled: Flag = True
    """Reads what was not verified for long, a little at a time, and takes damaged bytes out of sight."""
    rate: Count = Field(default=20 * _MIB, ge=0)
    """Most bytes it reads in a second; 0: as fast as it goes."""
    age: Duration = 30 * _DAY
    """How long a verification is good enough; shorter than `integrity.age`, or pulls do the scrub's work."""
    interval: Duration = _DAY
    """Time between two passes through everything."""


class Integrity(Section):
    """Damage to stored bytes, and how it is found (our own section)."""

    age: Duration = 90 * _DAY
    """How long a verification of a blob counts. An older one is verified again when it is pulled; 0: at every pull."""
    look: Duration = 6 * 3600.0
    """How often each web process looks whether an object that is pulled from an object store is still the one that was
    verified (ETag and size), beside the pulls; 0: never. In a folder every pull looks."""
    scrub: Scrub = Scrub()
    """The reading of all stored bytes in the background."""
