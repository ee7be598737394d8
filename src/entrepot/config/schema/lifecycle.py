"""`lifecycle`: what becomes of things that are deleted."""

from entrepot.config.section import Section
from entrepot.config.values import Duration

_HOUR = 3600.0
_WEEK = 7 * 24 * _HOUR


class Lifecycle(Section):
    """Trash and collection (our own section)."""

    trash: Duration = _WEEK
    """How long what was deleted can be restored; 0 removes it at once. A project may set its own time."""
    grace: Duration = _HOUR
    """How long the collector leaves a blob that nothing refers to. Shorter than a push takes would break pushes."""
