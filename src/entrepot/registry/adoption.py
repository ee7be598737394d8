"""The seam for folders that another registry filled: what is asked for is read from disk first, the rest behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from entrepot.oci.digest import Digest
from entrepot.oci.reference import Reference, RepositoryName


@dataclass(frozen=True, slots=True)
class WantedBlob:
    """A blob that somebody asks for."""

    digest: Digest


#: What a request needs of a repository: a manifest by its tag or digest, or a blob.
Wanted = Reference | WantedBlob


class AdoptionGate(Protocol):
    """Reads repositories of a taken-over folder into the metadata before anybody uses them."""

    async def ensure(self, name: RepositoryName, wanted: Wanted | None = None) -> bool:
        """Adopt a repository if it is still to be adopted, or only what is wanted of it.

        Returns:
            True when something was adopted, so that the caller looks again.

        Raises:
            Unavailable: The whole repository is needed and is not adopted within a bounded time.
        """
        ...

    async def names_known(self) -> None:
        """Wait until every repository of the folder is known by name.

        Raises:
            Unavailable: The names are not known within a bounded time.
        """
        ...

    async def is_complete(self) -> bool:
        """Tell whether the folder holds nothing any more that the metadata does not know."""
        ...


class NothingToAdopt:
    """The gate of a folder that was ours from the beginning."""

    async def ensure(self, name: RepositoryName, wanted: Wanted | None = None) -> bool:  # noqa: ARG002 - the protocol's
        """Say that there is nothing to look at again."""
        return False

    async def names_known(self) -> None:
        """Return at once."""

    async def is_complete(self) -> bool:
        """Say that it is."""
        return True
