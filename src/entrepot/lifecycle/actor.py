"""Who does what nobody asked for at that moment."""

from __future__ import annotations

from typing import Final

from entrepot.registry.model import Actor

#: The registry itself, in the audit log.
INTERNAL: Final = Actor(name="entrepot", credential="internal")
