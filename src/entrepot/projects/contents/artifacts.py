"""Artifacts of repositories: listed and looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from entrepot.access.faults import NotFound
from entrepot.metadata.contents import artifact_parts, artifacts, kept_sums, manifests, repository_lists
from entrepot.metadata.contents.artifact_parts import ArtifactRecord, TagRecord
from entrepot.metadata.contents.artifacts import Selection
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.contents.repository_lists import Ends
from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import COUNT_LIMIT, Listed, Order
from entrepot.metadata.filtering import Selection as ListSelection
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import Reference, parse_reference
from entrepot.projects.contents.descriptions import Describing
from entrepot.projects.contents.model import Accessory, Artifact, With

#: Steps of a walk that look for what follows a page, once it is known that something does.
_STEPS_AHEAD: Final = 2
#: Artifacts that are sorted by anything but their push: the newest that fit.
MOST_SORTED: Final = 10_000
#: Of one artifact.
_MOST_ACCESSORIES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which part of a list in the order of pushes is wanted, or in another one."""

    offset: int = 0
    limit: int = 10
    newest_first: bool = True
    orders: tuple[Order, ...] = ()  #: by columns of `ORDERS`; empty: by the pushes

    def of(self, found: Sequence[int]) -> list[int]:
        """Return what lies in the window."""
        return list(found[self.offset : self.offset + self.limit])


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifacts of repositories."""

    metadata: Reader
    describing: Describing

    async def page(
        self, repository: RepositoryRecord, wanted: Selection, window: Window, told: With
    ) -> Listed[Artifact]:
        """Return a page of a repository's artifacts, and how many there are.

        Of some that are chosen, those that follow the page are counted a bounded way ahead. Sorted by a column are the
        newest `MOST_SORTED`.
        """
        if window.orders:
            newest = await self._first(repository.id, wanted, MOST_SORTED, newest_first=True)
            return await self._sorted(newest, window, told)
        found, total = await self._page(repository.id, wanted, window)
        return Listed(await self.describing.describe(found, told), total)

    async def _page(self, repository_id: int, wanted: Selection, window: Window) -> tuple[list[int], int]:
        if wanted == Selection():
            found = await artifacts.page(
                self.metadata,
                repository_id,
                newest_first=window.newest_first,
                offset=window.offset,
                limit=window.limit,
            )
            entry = await repository_lists.find(self.metadata, repository_id)
            if found is not None and entry is not None:
                return found, entry.artifact_count
        walk = artifacts.walk(self.metadata, repository_id, wanted, newest_first=window.newest_first)
        return await _cut(walk, window)

    async def of_project(
        self, project_id: int, wanted: Selection, window: Window, told: With, *, latest: bool = False
    ) -> Listed[Artifact]:
        """Return a page of the artifacts of all repositories of a project, or of each one's latest.

        Repositories are looked through in the order of their ends, and no further than the page goes.
        """
        if window.orders:
            ordered = replace(window, orders=(), newest_first=True, offset=0, limit=MOST_SORTED)
            newest = await self._of_project(project_id, wanted, ordered, latest=latest)
            return await self._sorted(newest.items, window, told)
        found = await self._of_project(project_id, wanted, window, latest=latest)
        return Listed(await self.describing.describe(found.items, told), found.total)

    async def _sorted(self, ids: Sequence[int], window: Window, told: With) -> Listed[Artifact]:
        """Return a page of artifacts in the order that is wanted."""
        keys = await self.describing.keys(ids, [order.field for order in window.orders])
        found = [row_id for row_id in ids if row_id in keys]
        for place, order in reversed(list(enumerate(window.orders))):
            found.sort(key=lambda row_id: keys[row_id][place], reverse=order.descending)
        return Listed(await self.describing.describe(window.of(found), told), len(found))

    async def _of_project(self, project_id: int, wanted: Selection, window: Window, *, latest: bool) -> Listed[int]:
        ends = await repository_lists.ends_of_project(self.metadata, project_id)
        ends.sort(key=lambda each: each.newest if window.newest_first else each.oldest, reverse=window.newest_first)
        found: list[int] = []
        needed = window.offset + window.limit
        more = False
        for each in ends:
            more = len(found) > needed
            if more and _beyond(each, found[needed], window):
                break
            most = 1 if latest else needed + 1
            found += await self._first(each.repository_id, wanted, most, newest_first=latest or window.newest_first)
            found.sort(reverse=window.newest_first)
            del found[needed + 1 :]
        counted = wanted == Selection() and not latest and await kept_sums.complete(self.metadata, kept_sums.ARTIFACTS)
        total = sum(each.artifact_count for each in ends) if counted else len(found)
        return Listed(window.of(found), total)

    async def _first(self, repository_id: int, wanted: Selection, most: int, *, newest_first: bool) -> list[int]:
        if wanted == Selection():
            page = await artifacts.page(self.metadata, repository_id, newest_first=newest_first, limit=most)
            if page is not None:
                return page
        found: list[int] = []
        async for step in artifacts.walk(self.metadata, repository_id, wanted, newest_first=newest_first):
            found += step
            if len(found) >= most:
                break
        return found[:most]

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


async def _cut(walk: AsyncIterator[list[int]], window: Window) -> tuple[list[int], int]:
    """Return what lies in the window, and how many there are, as far as `_STEPS_AHEAD` steps after it tell."""
    found: list[int] = []
    total = ahead = 0
    async for step in walk:
        start = max(window.offset - total, 0)
        found.extend(step[start : start + window.limit - len(found)])
        total += len(step)
        ahead += total > window.offset + window.limit
        if total >= COUNT_LIMIT or ahead > _STEPS_AHEAD:
            break
    return found, min(total, COUNT_LIMIT)


def _beyond(each: Ends, last: int, window: Window) -> bool:
    """Tell whether a repository has nothing that comes before the last one that is needed."""
    return each.newest < last if window.newest_first else each.oldest > last


def _parsed(reference: str) -> Reference | None:
    """Read a reference; what is neither a tag nor a digest is one that nobody has."""
    try:
        return parse_reference(reference)
    except (DigestInvalid, TagInvalid):
        return None
