"""Artifacts of repositories: listed and looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import NotFound
from entrepot.metadata import artifact_parts, artifacts, manifests, repository_lists
from entrepot.metadata.artifact_parts import ArtifactRecord, TagRecord
from entrepot.metadata.artifacts import Selection
from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import COUNT_LIMIT, Listed
from entrepot.metadata.filtering import Selection as ListSelection
from entrepot.metadata.repositories import RepositoryRecord
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import Reference, parse_reference
from entrepot.projects.contents.describing import Describing
from entrepot.projects.contents.model import Accessory, Artifact, With

#: Of one artifact.
_MOST_ACCESSORIES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which part of a list in the order of pushes is wanted."""

    offset: int = 0
    limit: int = 10
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifacts of repositories."""

    metadata: Reader
    describing: Describing

    async def page(
        self, repository: RepositoryRecord, wanted: Selection, window: Window, told: With
    ) -> Listed[Artifact]:
        """Return a page of a repository's artifacts, and how many there are, counted up to `COUNT_LIMIT`."""
        walk = artifacts.walk(self.metadata, repository.id, wanted, newest_first=window.newest_first)
        found, total = await _cut(walk, window)
        return Listed(await self.describing.describe(found, told), total)

    async def of_project(
        self, project_id: int, wanted: Selection, window: Window, told: With, *, latest: bool = False
    ) -> Listed[Artifact]:
        """Return a page of the artifacts of all repositories of a project, or of each one's latest.

        They are counted, and sorted by their push, up to `COUNT_LIMIT`.
        """
        found: list[int] = []
        async for row_id in repository_lists.ids_of_project(self.metadata, project_id):
            await self._collect(row_id, wanted, found, latest=latest)
            if len(found) >= COUNT_LIMIT:
                break
        found.sort(reverse=window.newest_first)
        page = found[window.offset : window.offset + window.limit]
        return Listed(await self.describing.describe(page, told), len(found))

    async def count(self, repository_id: int, *, most: int = COUNT_LIMIT) -> int:
        """Count a repository's artifacts, up to some number."""
        total = 0
        async for found in artifacts.walk(self.metadata, repository_id, Selection()):
            total += len(found)
            if total >= most:
                return most
        return total

    async def find(self, repository: RepositoryRecord, reference: str) -> int:
        """Return the row id of the manifest that a tag or digest names.

        Raises:
            NotFound: There is none.
        """
        row = await self._row(repository, _parsed(reference))
        if row is None:
            raise NotFound(f"there is no artifact {reference[:150]} in repository {repository.name}")
        return row.id

    async def get(self, repository: RepositoryRecord, reference: str, told: With) -> Artifact:
        """Return an artifact by tag or digest, whether or not it stands for itself.

        Raises:
            NotFound: There is none.
        """
        found = await self.describing.describe([await self.find(repository, reference)], told)
        if not found:
            raise NotFound(f"there is no artifact {reference[:150]} in repository {repository.name}")
        return found[0]

    async def tags(
        self, artifact: ArtifactRecord, selection: ListSelection
    ) -> tuple[Listed[TagRecord], frozenset[int]]:
        """Return a page of an artifact's tags, the newest first unless another order is asked for.

        Beside it the ids of those that a rule keeps where they are.
        """
        found = await artifact_parts.tags_of(self.metadata, artifact.id, selection)
        return found, await self.describing.immutable([artifact], {artifact.id: found.items})

    async def accessories(self, manifest_id: int) -> list[Accessory]:
        """Return what refers to an artifact, up to 10,000 of it."""
        records = await artifact_parts.records(self.metadata, [manifest_id])
        return await self.describing.accessories(records[0], limit=_MOST_ACCESSORIES) if records else []

    async def _row(self, repository: RepositoryRecord, reference: Reference | None) -> manifests.ManifestRow | None:
        if reference is None:
            return None
        if isinstance(reference, Digest):
            return await manifests.by_digest(self.metadata, repository.name, str(reference))
        return await manifests.by_tag(self.metadata, repository.name, reference)

    async def _collect(self, repository_id: int, wanted: Selection, found: list[int], *, latest: bool) -> None:
        async for step in artifacts.walk(self.metadata, repository_id, wanted):
            if latest and step:
                found.append(step[0])
                return
            found.extend(step)
            if len(found) >= COUNT_LIMIT:
                return


async def _cut(walk: AsyncIterator[list[int]], window: Window) -> tuple[list[int], int]:
    """Return what lies in the window, and how many there are."""
    found: list[int] = []
    total = 0
    async for step in walk:
        start = max(window.offset - total, 0)
        found.extend(step[start : start + window.limit - len(found)])
        total += len(step)
        if total >= COUNT_LIMIT:
            return found, COUNT_LIMIT
    return found, total


def _parsed(reference: str) -> Reference | None:
    """Read a reference; what is neither a tag nor a digest is one that nobody has."""
    try:
        return parse_reference(reference)
    except (DigestInvalid, TagInvalid):
        return None
