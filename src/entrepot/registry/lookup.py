"""Names on the way to rows: the two spellings of a repository, and folders still to be adopted.

The first question is the point query for the name as it was written, which answers nearly every pull. Only when it
finds nothing are the other spelling and adoption tried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from entrepot.metadata.contents import repositories
from entrepot.metadata.database import Database
from entrepot.oci.errors import NameUnknown
from entrepot.oci.manifest import Manifest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.adoption import AdoptionGate, Wanted, WantedBlob
from entrepot.registry.references import blob_references

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lookup:
    """Finds things by the name of their repository."""

    metadata: Database
    gate: AdoptionGate

    async def find(
        self, name: RepositoryName, question: Callable[[str], Awaitable[T | None]], wanted: Wanted | None = None
    ) -> T | None:
        """Ask `question` for a repository name as stored; None when no spelling has an answer.

        `wanted` says what the question is about, when that is less than the whole repository.
        """
        found = await question(name)
        if found is not None:
            return found
        return await self._find_again(name, question, wanted)

    async def _find_again(
        self, name: RepositoryName, question: Callable[[str], Awaitable[T | None]], wanted: Wanted | None
    ) -> T | None:
        if await self.prepare(name, wanted) and (found := await question(name)) is not None:
            return found
        alias = repositories.other_spelling(name)
        if alias is None or await repositories.find_exact(self.metadata, name) is not None:
            return None
        return await question(alias)

    async def prepare(self, name: RepositoryName, wanted: Wanted | None = None) -> bool:
        """Adopt what must be adopted before `name` is used, in either spelling; True when something was."""
        adopted = await self.gate.ensure(name, wanted)
        alias = repositories.other_spelling(name)
        if alias is not None and await self.gate.ensure(RepositoryName.parse(alias), wanted):
            return True
        return adopted

    async def prepare_push(self, name: RepositoryName, manifest: Manifest) -> None:
        """Adopt what a manifest about to be pushed refers to; its repository need not be adopted for that."""
        blobs = [WantedBlob(blob.digest) for _, blob in blob_references(manifest)]
        parts: list[Wanted] = [manifest.digest, *blobs, *(entry.digest for entry in manifest.children)]
        for wanted in parts:
            if not await self.prepare(name, wanted):
                return

    async def repository(self, name: RepositoryName) -> repositories.RepositoryRecord:
        """Return the repository.

        Raises:
            NameUnknown: There is none of this name.
        """
        await self.prepare(name)
        found = await repositories.find(self.metadata, name)
        if found is None:
            raise NameUnknown(detail={"name": name})
        return found
