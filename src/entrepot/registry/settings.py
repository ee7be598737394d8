"""What an operator decided about the registry's behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from entrepot.oci.errors import InsufficientStorage, Unsupported
from entrepot.registry.ports import TagRules
from entrepot.registry.quota import MakeRoom, no_room
from entrepot.registry.suspect_blobs import Suspicion
from entrepot.registry.tag_rules import NO_RULES

MIB = 1024 * 1024
HOUR = 3600.0


def _never() -> bool:
    return False


def _always(_size: int) -> bool:
    return True


def _any_url(_url: str) -> bool:
    return True


def _every_platform(_architecture: str, _os: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Limits and switches of the registry's services."""

    delete_enabled: bool = True  #: `storage.delete.enabled`
    read_only: Callable[[], bool] = _never  #: asked at every write, so that it can be switched at run time
    has_room: Callable[[int], bool] = _always  #: for so many bytes more, before the last that the disk has
    requires_platform: Callable[[str, str], bool] = _every_platform  #: must an index's (architecture, os) be present?
    permits_url: Callable[[str], bool] = _any_url  #: may a layer that is kept elsewhere name this URL?
    classes: frozenset[str] = frozenset()  #: of content that may be pushed (`policy.repository.classes`); empty: any
    max_manifest_bytes: int = 4 * MIB  #: larger ones are refused; 4 MiB is the least the specification asks for
    max_tags_per_push: int = 100  #: `?tag=` parameters of one push
    max_open_uploads: int = 1_000  #: of one principal, that received something within the last hour
    max_open_uploads_in_all: int = 50_000  #: forgotten ones included; addresses have half of them
    grace_seconds: float = HOUR  #: how long a blob nobody refers to is kept
    suspicion: Suspicion = field(default_factory=Suspicion)  #: which blobs are verified before they are relied on
    trash_seconds: float = 0.0  #: how long the trash keeps what was deleted, where the project does not say; 0: not
    tag_rules: TagRules = NO_RULES  #: which tags can be neither moved nor deleted
    make_room: MakeRoom = no_room  #: asked before a push is refused for want of room in its project
    deleting_wait_seconds: float = 10.0  #: how long a push waits for a collector that is deleting the same blob

    def require_writable(self) -> None:
        """Raise Unsupported while the registry is read-only, as registry:2 does."""
        if self.read_only():
            raise Unsupported("The registry is read-only for maintenance; pulls go on. Push again later.")

    def require_room(self, size: int = 0) -> None:
        """Raise InsufficientStorage unless there is room for so many bytes: a full disk has room for deletes alone."""
        if not self.has_room(size):
            raise InsufficientStorage

    def require_deletes(self) -> None:
        """Raise Unsupported unless deleting is allowed."""
        self.require_writable()
        if not self.delete_enabled:
            raise Unsupported("Deleting is switched off; an administrator can set storage.delete.enabled: true.")
