"""Deleting what registry:2 has deleted from a folder that it had back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.adoption.rows import ACTOR
from entrepot.metadata.database import Transaction
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Denied, ManifestUnknown
from entrepot.oci.reference import Reference, RepositoryName
from entrepot.registry.model import Actor
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Gone:
    """A tag or manifest that the metadata have and registry:2's files do not."""

    repository: RepositoryName
    reference: Reference

    @property
    def what(self) -> str:
        """Give the kind, for people."""
        return "manifest" if isinstance(self.reference, Digest) else "tag"


async def delete(tx: Transaction, gone: Sequence[Gone], settings: RegistrySettings) -> list[Gone]:
    """Delete these, as an API call would; return those that an index still lists, or that a rule keeps."""
    return [one for one in gone if not await _delete(tx, one, settings)]


async def _delete(tx: Transaction, gone: Gone, settings: RegistrySettings) -> bool:
    removal = Removal(name=gone.repository, actor=Actor(name=ACTOR), settings=settings, on_disk=False)
    try:
        if isinstance(gone.reference, Digest):
            await removal.delete_manifest(gone.reference, tx)
        else:
            await removal.delete_tag(gone.reference, tx)
    except ManifestUnknown:
        return True
    except Denied:
        return False
    return True
