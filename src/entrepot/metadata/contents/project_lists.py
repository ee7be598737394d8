"""Projects in lists: with their owners, narrowed to those that the reader may see."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from entrepot.metadata.contents.projects import COLUMNS, ProjectRecord, record_of
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people.visibility import VISIBLE_PROJECTS, seen
from entrepot.metadata.query import Query
from entrepot.metadata.tables import grants, principals, projects, repositories
from entrepot.metadata.trash_namespaces import listed

#: Repositories of a project are counted up to here.
REPOSITORIES_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """One project and the name of its owner."""

    project: ProjectRecord
    owner: str | None


_OWNED = projects.outerjoin(principals, principals.c.id == projects.c.owner_id)
_ALL = select(*COLUMNS, principals.c.name).select_from(_OWNED).where(listed(projects.c.name))
FIELDS = {
    "project_id": Field(column=projects.c.id, kind=Kind.NUMBER),
    "name": Field(column=projects.c.name),
    "public": Field(column=projects.c.public, kind=Kind.FLAG),
    "internal": Field(column=projects.c.internal, kind=Kind.FLAG),
    "owner": Field(column=principals.c.name),
    "creation_time": Field(column=projects.c.created_at, kind=Kind.TIME),
    "update_time": Field(column=projects.c.updated_at, kind=Kind.TIME),
}
_BY_NAME = (Order("name"),)
ALL = Listing("project_lists.all", _ALL, FIELDS, order=_BY_NAME, key=projects.c.id)
VISIBLE = Listing(
    "project_lists.visible", _ALL.where(projects.c.id.in_(VISIBLE_PROJECTS)), FIELDS, order=_BY_NAME, key=projects.c.id
)

_ONE = Query(_ALL.where(projects.c.id == bindparam("id")), "project_lists.one")


_OF_PROJECT = (repositories.c.project_id == bindparam("id"), listed(repositories.c.sort_key))
_FEW = select(repositories.c.id).where(*_OF_PROJECT).limit(REPOSITORIES_LIMIT)
_REPOSITORIES = Query(select(func.count()).select_from(_FEW.subquery()), "project_lists.repositories")

_FIRST = Query(
    select(repositories.c.name).where(*_OF_PROJECT).order_by(repositories.c.sort_key).limit(1),
    "project_lists.first_repository",
)

_ROLES = Query(
    select(grants.c.role_id, func.count())
    .where(grants.c.project_id == bindparam("id"), grants.c.role_id.is_not(None), grants.c.principal_id.is_not(None))
    .group_by(grants.c.role_id),
    "project_lists.roles",
)


def _entry(row: Row) -> ProjectEntry:
    return ProjectEntry(record_of(row[:-1]), row[-1])


async def find(reader: Reader, project_id: int) -> ProjectEntry | None:
    """Return one project with its owner's name."""
    row = await reader.one(_ONE, id=project_id)
    return None if row is None else _entry(row)


async def every(reader: Reader, selection: Selection) -> Listed[ProjectEntry]:
    """Return a page of all projects."""
    return (await ALL.read(reader, selection)).map(_entry)


async def visible(
    reader: Reader, selection: Selection, *, names: Collection[str], public: bool, internal: bool
) -> Listed[ProjectEntry]:
    """Return a page of the projects of these names, and of those that are public or internal where that is asked."""
    found = await VISIBLE.read(reader, selection, **seen(names, public=public, internal=internal))
    return found.map(_entry)


async def repository_counts(reader: Reader, project_ids: Iterable[int]) -> dict[int, int]:
    """Count the repositories of some projects, each up to `REPOSITORIES_LIMIT`."""
    counts = {}
    for project in project_ids:
        row = await reader.one(_REPOSITORIES, id=project)
        counts[project] = 0 if row is None else int(row[0])
    return counts


async def first_repository(reader: Reader, project_id: int) -> str | None:
    """Return the name of a project's first repository, whether or not it has manifests."""
    row = await reader.one(_FIRST, id=project_id)
    return None if row is None else row[0]


async def members_by_role(reader: Reader, project_id: int) -> dict[int, int]:
    """Count the members of a project that have each role, by the role's id."""
    return {int(row[0]): int(row[1]) for row in await reader.all(_ROLES, id=project_id)}
