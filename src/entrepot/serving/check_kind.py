"""What anybody may know of a failing check.

The registry's own address tells it to whoever asks, so it tells the kind alone: folders, addresses and errors are for
the debug address.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from entrepot.telemetry.health_flag import DRAINING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CheckKind(StrEnum):
    """What a check looks at; its name on `/readyz`."""

    STORAGE = "storage"
    FILE = "file"
    HTTP = "http"
    TCP = "tcp"
    MANUAL = "manual"
    DRAINING = DRAINING


_WORDS: Final = {
    CheckKind.STORAGE: "the storage does not work",
    CheckKind.FILE: "a file takes the registry out of service",
    CheckKind.HTTP: "a service that this registry needs does not answer as expected",
    CheckKind.TCP: "a service that this registry needs accepts no connections",
    CheckKind.MANUAL: "taken out of service by an operator",
    CheckKind.DRAINING: "the registry is being stopped",
}


def in_public(kinds: Iterable[CheckKind]) -> dict[str, str]:
    """Say in fixed words what is wrong, by the kind of check."""
    return {kind.value: _WORDS[kind] for kind in sorted(set(kinds))}
