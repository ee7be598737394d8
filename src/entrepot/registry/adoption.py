"""The seam for folders that another registry filled: a repository is read from disk when it is first asked for."""

from __future__ import annotations

from typing import Protocol

from entrepot.oci.reference import RepositoryName


class AdoptionGate(Protocol):
    """Reads repositories of a taken-over folder into the metadata before anybody uses them."""

    async def ensure(self, name: RepositoryName) -> bool:
        """Adopt a repository if it is still to be adopted; True when it was, so that the caller looks again."""
        ...

    async def names_known(self) -> None:
        """Wait until every repository of the folder is known by name.

        Raises:
            Unavailable: The names are not known within a bounded time.
        """
        ...


class NothingToAdopt:
    """The gate of a folder that was ours from the beginning."""

    async def ensure(self, name: RepositoryName) -> bool:  # noqa: ARG002 - the protocol's parameter
        """Say that there is nothing to look at again."""
        return False

    async def names_known(self) -> None:
        """Return at once."""
