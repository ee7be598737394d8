"""The catalog: names of repositories ordered by path component, all of them or those of some projects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, FromClause, bindparam, exists, select, text, true

from entrepot.metadata.database import Reader
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.query import ListType, Query, in_list
from entrepot.metadata.tables import manifests, projects, repositories
from entrepot.metadata.trash_namespaces import listed
from entrepot.oci.reference import DEFAULT_PROJECT, sort_key


def _listed(table: FromClause) -> ColumnElement[bool]:
    """Like registry:2, whose catalog lists what has a `_manifests` folder: uploads alone make no entry."""
    has_any = (table.c.adopted == 0) | exists(select(1).where(manifests.c.repository_id == table.c.id))
    return listed(table.c.sort_key) & has_any


_ALL = Query(
    select(repositories.c.name)
    .where(_listed(repositories), repositories.c.sort_key > bindparam("last"))
    .order_by(repositories.c.sort_key)
    .limit(bindparam("limit")),
    "catalog.all",
)

#: Each project has one next repository in SQLite's queue, which `ORDER BY` makes a priority queue: the first of the
#: queue is a row of the answer, and puts the one after it in its place. So an answer costs a look-up for each project
#: and for each of its rows, however many repositories these projects and all others have. SQLAlchemy cannot order the
#: rows of a recursion, hence the text.
_NEXT: Final = """
SELECT r.project_id, r.sort_key, r.name FROM {source} JOIN repositories AS r ON r.id = (
  SELECT n.id FROM repositories AS n WHERE n.project_id = {project} AND n.sort_key > {after}
  AND n.sort_key < '~' AND (n.adopted = 0 OR EXISTS (SELECT 1 FROM manifests AS m WHERE m.repository_id = n.id))
  ORDER BY n.sort_key LIMIT 1
)"""
_FIRST: Final = _NEXT.format(source="projects AS p", project="p.id", after=":last")
_FOLLOWING: Final = _NEXT.format(source="heads", project="heads.project_id", after="heads.sort_key")
_MERGED: Final = f"""
WITH RECURSIVE heads (project_id, sort_key, name) AS (
  {_FIRST} WHERE p.name IN (SELECT value FROM json_each(:projects))
  UNION ALL {_FOLLOWING} ORDER BY 2
)
SELECT name FROM heads LIMIT :limit"""  # noqa: S608 - constants of this module


def _of_projects(dialect: Dialect) -> Executable:
    if dialect.name == SQLITE.name:
        return text(_MERGED).bindparams(bindparam("projects", type_=ListType()))
    return _a_page_of_each()


def _a_page_of_each() -> Executable:
    """PostgreSQL cannot stop a recursion in order: it reads a page of each project and sorts those."""
    page: Any = (
        select(repositories.c.name, repositories.c.sort_key)
        .where(
            repositories.c.project_id == projects.c.id,
            _listed(repositories),
            repositories.c.sort_key > bindparam("last"),
        )
        .order_by(repositories.c.sort_key)
        .limit(bindparam("limit"))
        .lateral("page")
    )
    return (
        select(page.c.name)
        .select_from(projects.join(page, true()))
        .where(in_list(projects.c.name, "projects"))
        .order_by(page.c.sort_key)
        .limit(bindparam("limit"))
    )


_OF_PROJECTS = Query(_of_projects, "catalog.of_projects")


_NAMED = Query(
    select(repositories.c.name)
    .where(in_list(repositories.c.name, "names"), _listed(repositories), repositories.c.sort_key > bindparam("last"))
    .order_by(repositories.c.sort_key)
    .limit(bindparam("limit")),
    "catalog.named",
)
#: Projects that are looked through at first; few have none that the reader may see.
_PROJECTS: Final = 100
_GROWTH: Final = 4
#: Follows every character that a name may have.
_BEYOND: Final = "\x7f"


async def names(reader: Reader, *, limit: int, last: str, projects: Collection[str] | None) -> list[str]:
    """Return up to `limit` names after `last`, ordered by path component; `projects` None means all of them."""
    return await _names(reader, limit, sort_key(last), projects)


async def named(reader: Reader, *, limit: int, last: str, among: Collection[str]) -> list[str]:
    """Return up to `limit` of the names `among` that are in the catalog after `last`, ordered as it is."""
    rows = await reader.all(_NAMED, last=sort_key(last), limit=limit, names=sorted(among))
    return [row[0] for row in rows]


async def beginning(reader: Reader, *, limit: int, last: str, text: str, project: str | None) -> list[str]:
    """Return up to `limit` names after `last` that begin with `text`, of one project or (None) of all."""
    start = sort_key(text)
    after = max(sort_key(last), _before(start))
    found = await _names(reader, limit, after, None if project is None else [project])
    return [name for name in found if sort_key(name).startswith(start)]


def _before(start: str) -> str:
    """Return what sorts before every name that begins with `start`, and after every name that sorts before these."""
    return start if start.endswith(sort_key("/")) or not start else f"{start[:-1]}{chr(ord(start[-1]) - 1)}{_BEYOND}"


async def _names(reader: Reader, limit: int, after: str, projects: Collection[str] | None) -> list[str]:
    if projects is None:
        rows = await reader.all(_ALL, last=after, limit=limit)
        return [row[0] for row in rows]
    return await _of_some(reader, limit, after, projects)


async def _of_some(reader: Reader, limit: int, after: str, projects: Collection[str]) -> list[str]:
    """Look through some projects at a time, in the order of their names, which is that of their repositories.

    But for those of the default project, whose names may have one part: they may stand anywhere.
    """
    first = after.partition(sort_key("/"))[0]
    anywhere = [DEFAULT_PROJECT] if DEFAULT_PROJECT in projects else []
    ordered = sorted(name for name in projects if name >= first and name != DEFAULT_PROJECT)
    found: list[str] = []
    start, size = 0, _PROJECTS
    while True:
        some, following = ordered[start : start + size], ordered[start + size : start + size + 1]
        rows = await reader.all(_OF_PROJECTS, last=after, limit=limit - len(found), projects=[*anywhere, *some])
        found += [row[0] for row in rows if not following or sort_key(row[0]) < following[0]]
        if not following or len(found) >= limit:
            return found
        after, start, size = _before(following[0]), start + size, size * _GROWTH
