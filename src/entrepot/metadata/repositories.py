"""Repositories: found by name, and listed for adoption.

A one-part name belongs to the project `library`; `x` and `library/x` are two spellings of one repository as long as
only one of them exists (see `find`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from entrepot.metadata import clock
from entrepot.metadata import projects as project_rows
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import repositories
from entrepot.oci.reference import DEFAULT_PROJECT, MAX_NAME_LENGTH, RepositoryName, sort_key


@dataclass(frozen=True, slots=True)
class RepositoryRecord:
    """One repository; `adopted` is False while its files in a taken-over folder are still to be read."""

    id: int
    project_id: int
    name: str
    adopted: bool


_COLUMNS = (repositories.c.id, repositories.c.project_id, repositories.c.name, repositories.c.adopted)
_FIND = Query(select(*_COLUMNS).where(repositories.c.name == bindparam("name")), "repositories.find")
_CREATE = Query(
    lambda d: (
        d.insert(repositories)
        .values(
            project_id=bindparam("project_id"),
            name=bindparam("name"),
            sort_key=bindparam("sort_key"),
            adopted=bindparam("adopted"),
            created_at=bindparam("created_at"),
        )
        .on_conflict_do_nothing()
    ),
    "repositories.create",
)
_PENDING = Query(
    select(repositories.c.name)
    .where(repositories.c.adopted == 0, repositories.c.name > bindparam("last"))
    .order_by(repositories.c.name)
    .limit(bindparam("limit")),
    "repositories.pending",
)
_PAGE = Query(
    select(repositories.c.name)
    .where(repositories.c.name > bindparam("last"))
    .order_by(repositories.c.name)
    .limit(bindparam("limit")),
    "repositories.page",
)
_COUNT_PENDING = Query(
    select(func.count()).select_from(repositories).where(repositories.c.adopted == 0), "repositories.count_pending"
)
_SET_ADOPTED = Query(
    update(repositories).where(repositories.c.id == bindparam("repository_id")).values(adopted=1),
    "repositories.set_adopted",
)


def _record(row: Row) -> RepositoryRecord:
    return RepositoryRecord(row[0], row[1], row[2], bool(row[3]))


def other_spelling(name: str) -> str | None:
    """Return `library/x` for `x` and `x` for `library/x`; None for any other name, and where that would be too long."""
    if "/" not in name:
        return f"{DEFAULT_PROJECT}/{name}" if len(DEFAULT_PROJECT) + 1 + len(name) <= MAX_NAME_LENGTH else None
    project, _, rest = name.partition("/")
    return rest if project == DEFAULT_PROJECT and "/" not in rest else None


async def find_exact(reader: Reader, name: str) -> RepositoryRecord | None:
    """Return the repository stored under exactly this name."""
    row = await reader.one(_FIND, name=name)
    return None if row is None else _record(row)


async def find(reader: Reader, name: str) -> RepositoryRecord | None:
    """Return the repository of this name, or of its other spelling when only that exists."""
    found = await find_exact(reader, name)
    if found is None and (alias := other_spelling(name)) is not None:
        return await find_exact(reader, alias)
    return found


async def create(tx: Transaction, name: str, project_id: int, *, adopted: bool = True) -> None:
    """Add a repository under the name as written; nothing happens when it is there already."""
    await tx.execute(
        _CREATE,
        project_id=project_id,
        name=name,
        sort_key=sort_key(name),
        adopted=int(adopted),
        created_at=clock.now(),
    )


async def ensure(tx: Transaction, name: RepositoryName) -> RepositoryRecord:
    """Return the repository, created with its project where they are missing."""
    found = await find(tx, name)
    if found is not None:
        return found
    project = await project_rows.ensure(tx, name.project)
    await create(tx, name, project.id)
    created = await find_exact(tx, name)
    assert created is not None
    return created


async def pending(reader: Reader, *, limit: int, last: str = "") -> list[str]:
    """Return names of repositories that are still to be adopted, in bytewise order after `last`."""
    return [row[0] for row in await reader.all(_PENDING, last=last, limit=limit)]


async def page(reader: Reader, *, limit: int, last: str = "") -> list[str]:
    """Return names of repositories, whether or not they have manifests, in bytewise order after `last`."""
    return [row[0] for row in await reader.all(_PAGE, last=last, limit=limit)]


async def count_pending(reader: Reader) -> int:
    """Count the repositories that are still to be adopted."""
    row = await reader.one(_COUNT_PENDING)
    return 0 if row is None else int(row[0])


async def set_adopted(tx: Transaction, repository_id: int) -> None:
    """Note that a repository's files have been read."""
    await tx.execute(_SET_ADOPTED, repository_id=repository_id)
