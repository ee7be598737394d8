"""`integrity`: how stored bytes are watched."""

from entrepot.config.section import Section
from entrepot.config.values import Duration

_DAY = 24 * 3600.0


class Integrity(Section):
    """Damage to stored bytes, and how it is found (our own section)."""

    age: Duration = 90 * _DAY
    """How long a verification of a blob counts. An older one is verified again when it is pulled; 0: at every pull."""
