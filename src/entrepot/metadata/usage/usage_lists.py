"""Usage in lists: projects and repositories with what the last analysis found of each, and layers by their rows.

Where an analysis has found nothing of something, it is shown without: it came later, or is not adopted yet.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select

from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import (
    analysis_parts,
    blobs,
    manifest_blobs,
    project_usage,
    projects,
    repositories,
)
from entrepot.metadata.trash_namespaces import listed
from entrepot.metadata.usage.analyses import PROJECT, REPOSITORY, SUMS
from entrepot.metadata.usage.deletion_closure import ANYWHERE
from entrepot.metadata.usage.usage import STANDING, Standing, standing_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an analysis found of a project or a repository."""

    logical_bytes: int
    stored_bytes: int
    own_bytes: int  #: that nothing else in the project needs
    unique_bytes: int  #: that nothing else needs
    trash_bytes: int  #: that only the trash of a project needs there
    manifests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedProject:
    """A project, what it uses now, and what the last analysis found."""

    id: int
    name: str
    standing: Standing
    found: Found | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedRepository:
    """A repository and what the last analysis found of it."""

    id: int
    name: str
    found: Found | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLayer:
    """A blob, and how many repositories and manifests need it, of one project or of all."""

    digest: str
    size: int
    repositories: int
    manifests: int


_P = analysis_parts.c
_SUMS = tuple(_P[name] for name in SUMS)
_IN_ANALYSIS = _P.analysis_id == bindparam("analysis")


def _or_none(column: ColumnElement[int]) -> ColumnElement[int]:
    """Sort what nothing is known of as what is smallest, on both databases."""
    return func.coalesce(column, -1, type_=WHOLE)


def _sums() -> dict[str, Field]:
    return {name: Field(_or_none(_P[name]), Kind.NUMBER) for name in SUMS}


def _of(kind: str, subject: ColumnElement[int]) -> ColumnElement[bool]:
    return _IN_ANALYSIS & (_P.kind == kind) & (_P.subject_id == subject)


_USED = func.coalesce(project_usage.c.blob_bytes, 0) + func.coalesce(project_usage.c.manifest_bytes, 0)
_PROJECTS = (
    select(projects.c.id, projects.c.name, *_SUMS, *STANDING)
    .select_from(
        projects.outerjoin(project_usage, project_usage.c.project_id == projects.c.id).outerjoin(
            analysis_parts, _of(PROJECT, projects.c.id)
        )
    )
    .where(listed(projects.c.name))
)
_REPOSITORIES = (
    select(repositories.c.id, repositories.c.name, *_SUMS)
    .select_from(repositories.outerjoin(analysis_parts, _of(REPOSITORY, repositories.c.id)))
    .where(listed(repositories.c.sort_key))
)
PROJECT_FIELDS: Final = {"name": Field(projects.c.name), "used_bytes": Field(_USED, Kind.NUMBER), **_sums()}
REPOSITORY_FIELDS: Final = {"name": Field(repositories.c.name), **_sums()}
_LARGEST_FIRST: Final = (Order("stored_bytes", descending=True),)
PROJECTS: Final = Listing(
    "usage_lists.projects",
    _PROJECTS,
    PROJECT_FIELDS,
    order=(Order("used_bytes", descending=True),),
    key=projects.c.id,
)
REPOSITORIES: Final = Listing(
    "usage_lists.repositories", _REPOSITORIES, REPOSITORY_FIELDS, order=_LARGEST_FIRST, key=repositories.c.id
)
OF_PROJECT: Final = Listing(
    "usage_lists.of_project",
    _REPOSITORIES.where(repositories.c.project_id == bindparam("project")),
    REPOSITORY_FIELDS,
    order=_LARGEST_FIRST,
    key=repositories.c.id,
)


def _layers() -> Select[Any]:
    within = bindparam("within", type_=WHOLE)
    return (
        select(
            blobs.c.id,
            blobs.c.digest,
            blobs.c.size,
            func.count(manifest_blobs.c.repository_id.distinct()),
            func.count(manifest_blobs.c.manifest_id.distinct()),
        )
        .select_from(
            blobs.join(manifest_blobs, manifest_blobs.c.blob_id == blobs.c.id).join(
                repositories, repositories.c.id == manifest_blobs.c.repository_id
            )
        )
        .where(
            in_list(blobs.c.id, "ids"),
            listed(repositories.c.name),
            or_(within == ANYWHERE, repositories.c.project_id == within),
        )
        .group_by(blobs.c.id, blobs.c.digest, blobs.c.size)
    )


_LAYERS: Final = Query(_layers(), "usage_lists.layers")


def _project(row: Row) -> UsedProject:
    behind = 2 + len(SUMS)
    return UsedProject(id=row[0], name=row[1], found=_found(row[2:behind]), standing=standing_of(row[behind:]))


async def projects_page(reader: Reader, selection: Selection, analysis: int) -> Listed[UsedProject]:
    """Return a page of all projects, those that use most first unless another order is asked for."""
    return (await PROJECTS.read(reader, selection, analysis=analysis)).map(_project)


async def repositories_page(
    reader: Reader, selection: Selection, analysis: int, *, project: int | None
) -> Listed[UsedRepository]:
    """Return a page of the repositories of a project, or of all, the largest first unless another order is asked."""
    if project is None:
        found = await REPOSITORIES.read(reader, selection, analysis=analysis)
    else:
        found = await OF_PROJECT.read(reader, selection, analysis=analysis, project=project)
    return found.map(lambda row: UsedRepository(id=row[0], name=row[1], found=_found(row[2:])))


def _found(sums: Row) -> Found | None:
    return None if sums[0] is None else Found(**dict(zip(SUMS, map(int, sums), strict=True)))


async def layers(reader: Reader, ids: Collection[int], *, within: int = ANYWHERE) -> dict[int, UsedLayer]:
    """Return blobs by their row ids, without those that no repository of the project (or of any) needs."""
    rows = await reader.all(_LAYERS, ids=list(ids), within=within) if ids else []
    return {
        row[0]: UsedLayer(digest=row[1], size=row[2], repositories=int(row[3]), manifests=int(row[4])) for row in rows
    }
