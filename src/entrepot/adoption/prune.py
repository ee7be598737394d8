"""Deleting what registry:2 has deleted from a folder that it had back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from entrepot.adoption.rows import ACTOR
from entrepot.metadata.database import Reader, Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown, RegistryError
from entrepot.oci.reference import Reference, RepositoryName
from entrepot.registry import read_only
from entrepot.registry.model import Actor
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Kept:
    """A tag or manifest that the metadata keep as it is: registry:2's files do not have it, or the tag was moved."""

    repository: RepositoryName
    reference: Reference
    reason: str = ""  #: why it was kept, for people; empty when nobody asked for more
    theirs: Digest | None = None  #: what the files let the tag name

    @property
    def what(self) -> str:
        """Give the kind, for people."""
        return "manifest" if isinstance(self.reference, Digest) else "tag"


class ReadOnly(RegistryError):
    """The registry is read-only, so nothing is pruned; end that ('entrepot readonly off', or configuration) first."""


async def require_allowed(reader: Reader, settings: RegistrySettings) -> None:
    """Refuse to prune where nothing may be deleted.

    Raises:
        ReadOnly: The registry takes no changes now, by its configuration or by the switch.
        Unsupported: Deleting is switched off.
    """
    if settings.read_only() or await read_only.is_on(reader):
        raise ReadOnly
    settings.require_deletes()


async def delete(tx: Transaction, gone: Sequence[Kept], settings: RegistrySettings) -> list[Kept]:
    """Delete these, as an API call would; return those that an index still lists, or that a rule keeps, and why."""
    done = [(one, await _delete(tx, one, settings)) for one in gone]
    return [replace(one, reason=reason) for one, reason in done if reason]


async def _delete(tx: Transaction, gone: Kept, settings: RegistrySettings) -> str:
    """Return why it was not deleted; nothing when it is gone."""
    removal = Removal(name=gone.repository, actor=Actor(name=ACTOR), settings=settings, on_disk=False)
    try:
        if isinstance(gone.reference, Digest):
            await removal.delete_manifest(gone.reference, tx)
        else:
            await removal.delete_tag(gone.reference, tx)
    except ManifestUnknown:
        return ""
    except Denied as error:
        return str(error)
    return ""
