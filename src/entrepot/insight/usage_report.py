"""Where the space went, for people who look: what each thing uses now, and what the last analysis found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.insight.deletion_choice import Found as Rows
from entrepot.insight.freed_bytes import Deletion
from entrepot.insight.images import image_of
from entrepot.metadata import trash_namespaces
from entrepot.metadata.contents import artifact_parts, tags
from entrepot.metadata.contents.artifact_parts import ArtifactRecord
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.usage import analyses, deletion_closure, usage, usage_lists
from entrepot.metadata.usage.analyses import EVERYWHERE, IMAGE, LAYER, PROJECT, Analysis
from entrepot.metadata.usage.deletion_closure import ANYWHERE
from entrepot.metadata.usage.usage import Standing
from entrepot.metadata.usage.usage_lists import Found, UsedLayer, UsedProject, UsedRepository

#: Where there is no analysis yet: nothing was found of anything.
_NONE: Final = 0
#: Tags shown of each image.
_TAGS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What an image uses, with what it lists and what refers to it."""

    logical_bytes: int
    stored_bytes: int
    own_bytes: int  #: by which its project would use less without it
    unique_bytes: int | None  #: that the storage would have less without it; None where that was not asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTag:
    """A tag, and its image's sizes."""

    name: str
    digest: str
    sizes: Sizes | None  #: None where it has too many parts to be looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedImage:
    """An image, some of its tags, and its sizes."""

    record: ArtifactRecord
    tags: Sequence[str]
    sizes: Sizes | None  #: as above


@dataclass(frozen=True, slots=True)
class Looking:
    """Answers."""

    metadata: Database

    async def analysis(self) -> Analysis | None:
        """Return the last analysis that was finished."""
        return await analyses.last_finished(self.metadata)

    async def project(self, project: ProjectRecord) -> tuple[Standing, Found | None]:
        """Return what a project uses now, and what the last analysis found."""
        standing = await usage.find(self.metadata, project.id)
        sums = await analyses.part(self.metadata, await self._last(), PROJECT, project.id)
        return standing, None if sums is None else Found(**sums)

    async def projects(self, selection: Selection) -> Listed[UsedProject]:
        """Return a page of all projects."""
        return await usage_lists.projects_page(self.metadata, selection, await self._last())

    async def repositories(self, selection: Selection, project: int | None) -> Listed[UsedRepository]:
        """Return a page of the repositories of a project, or of all."""
        return await usage_lists.repositories_page(self.metadata, selection, await self._last(), project=project)

    async def layers(self, project: int | None, *, limit: int) -> list[UsedLayer]:
        """Return the largest blobs that the last analysis found, as far as they are there."""
        tops = await self._tops(LAYER, project, limit)
        found = await usage_lists.layers(patient(self.metadata), tops, within=ANYWHERE if project is None else project)
        return [found[row_id] for row_id in tops if row_id in found]

    async def images(self, project: int | None, *, limit: int, unique: bool) -> list[UsedImage]:
        """Return the largest images that the last analysis found, as far as they are there, with their sizes now.

        Args:
            project: Of which project; None for all.
            limit: How many.
            unique: Look also for what nothing else needs at all.
        """
        reader = patient(self.metadata)
        tops = await self._tops(IMAGE, project, limit)
        names = await artifact_parts.tags_of_all(reader, tops, each=_TAGS)
        return [
            UsedImage(
                record=record,
                tags=[tag.name for tag in names.get(record.id, ())[:_TAGS]],
                sizes=await _sizes(reader, record.id, unique=unique),
            )
            for record in await artifact_parts.records(reader, tops)
            if not trash_namespaces.is_shadow(record.repository)
        ]

    async def tags(self, repository: RepositoryRecord, *, last: str, limit: int, unique: bool) -> list[UsedTag]:
        """Return the next tags of a repository after `last`, in the order of their names, with their sizes now.

        `unique` says whether to look also for what nothing else needs at all.
        """
        reader = patient(self.metadata)
        names = await tags.page(reader, repository.name, limit=limit, last=last)
        found = await deletion_closure.of_tags(reader, repository.id, names)
        ids = {manifest for _, manifest in found.values()}
        digests = {one.id: one.digest for one in await deletion_closure.standing(reader, ids)}
        sizes = {row_id: await _sizes(reader, row_id, unique=unique) for row_id in digests}
        named = [(name, found[name][1]) for name in names if name in found]
        return [UsedTag(name=name, digest=digests[one], sizes=sizes[one]) for name, one in named if one in digests]

    async def _last(self) -> int:
        last = await self.analysis()
        return _NONE if last is None else last.id

    async def _tops(self, kind: str, project: int | None, limit: int) -> list[int]:
        scope = EVERYWHERE if project is None else project
        found = await analyses.tops(self.metadata, await self._last(), kind, scope, limit=limit)
        return [row_id for row_id, _ in found]


async def _sizes(reader: Reader, manifest_id: int, *, unique: bool) -> Sizes | None:
    """Return what an image uses; None where that is too much to be told in a list."""
    try:
        return await _measured(reader, manifest_id, unique=unique)
    except Invalid:
        return None


async def _measured(reader: Reader, manifest_id: int, *, unique: bool) -> Sizes:
    image = await image_of(reader, manifest_id)
    deletion = await Deletion.of(reader, Rows(single={manifest_id: ""}))
    return Sizes(
        logical_bytes=image.logical_bytes,
        stored_bytes=image.stored_bytes,
        own_bytes=sum(freed.bytes for freed in (await deletion.in_projects()).values()),
        unique_bytes=(await deletion.on_disk()).bytes if unique else None,
    )
