"""Repositories in lists: of one project, of all, or of those projects that the reader may see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ScalarSelect, bindparam, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people.visibility import VISIBLE_PROJECTS, seen
from entrepot.metadata.query import Query
from entrepot.metadata.tables import manifests, repositories
from entrepot.metadata.trash_namespaces import listed

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryEntry:
    """A repository as lists show it."""

    id: int
    project_id: int
    name: str
    description: str | None
    created_at: int
    updated_at: int
    pull_count: int
    artifact_count: int  #: where all artifacts are written down (see `sums.complete`)
    pushed_at: int | None  #: the latest push of something new


@dataclass(frozen=True, slots=True)
class Ends:
    """The newest and the oldest manifest of a repository, by their row ids."""

    repository_id: int
    artifact_count: int
    newest: int
    oldest: int


_R = repositories.c
_PUSHED_AT = (
    select(manifests.c.created_at)
    .where(manifests.c.repository_id == _R.id)
    .order_by(manifests.c.id.desc())
    .limit(1)
    .correlate(repositories)
    .scalar_subquery()
)
_BASE = select(
    _R.id,
    _R.project_id,
    _R.name,
    _R.description,
    _R.created_at,
    _R.updated_at,
    _R.pull_count,
    _R.artifact_count,
    _PUSHED_AT,
)
_LISTED = _BASE.where(listed(_R.sort_key))
FIELDS: Final = {
    "name": Field(column=_R.name),
    "path": Field(column=_R.sort_key),
    "repository_id": Field(column=_R.id, kind=Kind.NUMBER),
    "project_id": Field(column=_R.project_id, kind=Kind.NUMBER),
    "description": Field(column=_R.description),
    "creation_time": Field(column=_R.created_at, kind=Kind.TIME),
    "update_time": Field(column=_R.updated_at, kind=Kind.TIME),
    "pull_count": Field(column=_R.pull_count, kind=Kind.NUMBER),
}
_BY_PATH: Final = (Order("path"),)
ALL: Final = Listing("repository_lists.all", _LISTED, FIELDS, order=_BY_PATH, key=_R.id)
OF_PROJECT: Final = Listing(
    "repository_lists.of_project",
    _LISTED.where(_R.project_id == bindparam("project")),
    FIELDS,
    order=_BY_PATH,
    key=_R.id,
)
VISIBLE: Final = Listing(
    "repository_lists.visible", _LISTED.where(_R.project_id.in_(VISIBLE_PROJECTS)), FIELDS, order=_BY_PATH, key=_R.id
)
_ONE: Final = Query(_LISTED.where(_R.id == bindparam("id")), "repository_lists.one")


def _end(*, newest: bool) -> ScalarSelect[Any]:
    """Build a repository's newest manifest, or its oldest."""
    order = manifests.c.id.desc() if newest else manifests.c.id
    found = select(manifests.c.id).where(manifests.c.repository_id == _R.id).order_by(order).limit(1)
    return found.correlate(repositories).scalar_subquery()


_ENDS: Final = Query(
    select(_R.id, _R.artifact_count, _end(newest=True), _end(newest=False)).where(
        _R.project_id == bindparam("project"), listed(_R.sort_key)
    ),
    "repository_lists.ends",
)
_IDS: Final = Query(
    select(_R.id, _R.sort_key)
    .where(_R.project_id == bindparam("project"), _R.sort_key > bindparam("last"), listed(_R.sort_key))
    .order_by(_R.sort_key)
    .limit(bindparam("limit")),
    "repository_lists.ids",
)
_DESCRIBE: Final = Query(
    update(repositories)
    .where(_R.id == bindparam("repository"))
    .values(description=bindparam("text"), updated_at=bindparam("now")),
    "repository_lists.describe",
)


async def every(reader: Reader, selection: Selection) -> Listed[RepositoryEntry]:
    """Return a page of all repositories."""
    return (await ALL.read(reader, selection)).map(_entry)


async def of_project(reader: Reader, project_id: int, selection: Selection) -> Listed[RepositoryEntry]:
    """Return a page of the repositories of one project."""
    return (await OF_PROJECT.read(reader, selection, project=project_id)).map(_entry)


async def visible(
    reader: Reader, selection: Selection, *, names: Collection[str], public: bool, internal: bool
) -> Listed[RepositoryEntry]:
    """Return a page of the repositories of projects with these names, and of those open to all where that is asked."""
    found = await VISIBLE.read(reader, selection, **seen(names, public=public, internal=internal))
    return found.map(_entry)


async def find(reader: Reader, repository_id: int) -> RepositoryEntry | None:
    """Return one repository."""
    row = await reader.one(_ONE, id=repository_id)
    return None if row is None else _entry(row)


async def ids_of_project(reader: Reader, project_id: int) -> AsyncIterator[int]:
    """Give the row ids of all repositories of a project, by and by."""
    last = ""
    while rows := await reader.all(_IDS, project=project_id, last=last, limit=_AT_ONCE):
        for row_id, sort_key in rows:
            yield row_id
            last = sort_key


async def ends_of_project(reader: Reader, project_id: int) -> list[Ends]:
    """Return where the repositories of a project that have manifests begin and end."""
    rows = await patient(reader).all(_ENDS, project=project_id)
    return [Ends(*row) for row in rows if row[2] is not None]


async def describe(tx: Transaction, repository_id: int, description: str) -> bool:
    """Say what a repository is for; False when there is none of this id."""
    return await tx.execute(_DESCRIBE, repository=repository_id, text=description, now=clock.now()) == 1


def _entry(row: Row) -> RepositoryEntry:
    return RepositoryEntry(
        id=row[0],
        project_id=row[1],
        name=row[2],
        description=row[3],
        created_at=row[4],
        updated_at=row[5],
        pull_count=row[6],
        artifact_count=row[7],
        pushed_at=row[8],
    )
