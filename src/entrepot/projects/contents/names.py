"""Repositories by the two parts of their names that the API knows: the project, and the rest.

A repository may be stored without its project (`x` in `library`). It is called `library/x` all the same; where a
registry has both, `x` keeps that name, and the one stored as `library/x` is called `library/library/x`.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.faults import NotFound
from entrepot.metadata.contents import repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.oci.errors import NameInvalid
from entrepot.oci.reference import DEFAULT_PROJECT, RepositoryName
from entrepot.registry.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Names:
    """Finds repositories."""

    metadata: Reader
    lookup: Lookup

    async def find(self, project: str, rest: str) -> RepositoryRecord:
        """Return the repository that the API calls by these two parts.

        Raises:
            NotFound: There is none.
        """
        for name in _spellings(project, rest):
            await self.lookup.prepare(name)
            found = await repositories.find_exact(self.metadata, name)
            if found is not None:
                return found
        raise NotFound(f"there is no repository {project}/{rest}")

    async def stored(self, project: str, rest: str) -> RepositoryName:
        """Return the name under which a repository is stored, for deciding on rights; as asked for where it is not.

        Raises:
            NotFound: No repository can have this name.
        """
        for name in _spellings(project, rest):
            if await repositories.find_exact(self.metadata, name) is not None:
                return name
        return target_name(project, rest)

    async def called(self, stored_name: str) -> str:
        """Return what the API calls a repository."""
        if "/" not in stored_name:
            return f"{DEFAULT_PROJECT}/{stored_name}"
        short = repositories.other_spelling(stored_name)
        if short is None or await repositories.find_exact(self.metadata, short) is None:
            return stored_name
        return f"{DEFAULT_PROJECT}/{stored_name}"


def target_name(project: str, rest: str) -> RepositoryName:
    """Return the full name of a repository that need not exist.

    Raises:
        NotFound: No repository can have this name.
    """
    try:
        return RepositoryName.parse(f"{project}/{rest}")
    except NameInvalid as error:
        raise NotFound(error.message) from None


def _spellings(project: str, rest: str) -> list[RepositoryName]:
    full = target_name(project, rest)
    if project != DEFAULT_PROJECT:
        return [full]
    parts = rest.split("/")
    if len(parts) == 1:
        return [RepositoryName.parse(rest), full]
    is_long_spelling = parts[0] == DEFAULT_PROJECT and len(parts) == len(("library", "x"))
    return [full, RepositoryName.parse(rest)] if is_long_spelling else [full]
