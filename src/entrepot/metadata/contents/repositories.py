"""Repositories: found by name, and listed for adoption.

A one-part name belongs to the project `library`; `x` and `library/x` are two spellings of one repository as long as
only one of them exists (see `find`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.contents import projects as project_rows
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import repositories
from entrepot.metadata.trash_namespaces import MARK, listed
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
    .where(repositories.c.name > bindparam("last"), listed(repositories.c.name))
    .order_by(repositories.c.name)
    .limit(bindparam("limit")),
    "repositories.page",
)
_COUNT_PENDING = Query(
    select(func.count()).select_from(repositories).where(repositories.c.adopted == 0), "repositories.count_pending"
)
_BY_ID = select(*_COLUMNS).where(repositories.c.id == bindparam("id"))
_FIND_BY_ID = Query(_BY_ID, "repositories.find_by_id")
_LOCK = Query(_BY_ID.with_for_update(), "repositories.lock")
#: Nobody removes it before the transaction ends, so that something may be put into it.
_HOLD = Query(
    select(*_COLUMNS).where(repositories.c.name == bindparam("name")).with_for_update(read=True, key_share=True),
    "repositories.hold",
)
_HOLD_BY_ID = Query(_BY_ID.with_for_update(read=True, key_share=True), "repositories.hold_by_id")
_ALL_OF_PROJECT = Query(
    select(*_COLUMNS)
    .where(repositories.c.project_id == bindparam("project"), repositories.c.sort_key > bindparam("last"))
    .order_by(repositories.c.sort_key)
    .limit(bindparam("limit")),
    "repositories.all_of_project",
)
_RENAME = Query(
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values(name=bindparam("new_name"), sort_key=bindparam("new_sort_key"), updated_at=bindparam("now")),
    "repositories.rename",
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


async def find_by_id(reader: Reader, repository_id: int) -> RepositoryRecord | None:
    """Return the repository of this id, whatever its name."""
    row = await reader.one(_FIND_BY_ID, id=repository_id)
    return None if row is None else _record(row)


async def hold(tx: Transaction, name: str) -> RepositoryRecord | None:
    """Return the repository stored under exactly this name, which stays until the transaction ends."""
    row = await tx.one(_HOLD, name=name)
    return None if row is None else _record(row)


async def hold_by_id(tx: Transaction, repository_id: int) -> RepositoryRecord | None:
    """Return the repository of this id, whatever its name, which stays until the transaction ends."""
    row = await tx.one(_HOLD_BY_ID, id=repository_id)
    return None if row is None else _record(row)


async def lock(tx: Transaction, repository_id: int) -> RepositoryRecord | None:
    """Return the repository of this id: until the transaction ends nobody renames it, or puts anything into it."""
    row = await tx.one(_LOCK, id=repository_id)
    return None if row is None else _record(row)


async def some_of_project(reader: Reader, project_id: int, *, limit: int) -> list[RepositoryRecord]:
    """Return up to `limit` repositories of a project, shadows included, those that clients can ask for first."""
    return [_record(row) for row in await reader.all(_ALL_OF_PROJECT, project=project_id, last="", limit=limit)]


async def shadows_of_project(reader: Reader, project_id: int, *, limit: int) -> list[RepositoryRecord]:
    """Return up to `limit` repositories of a project that no client can ask for."""
    return [_record(row) for row in await reader.all(_ALL_OF_PROJECT, project=project_id, last=MARK, limit=limit)]


async def rename(tx: Transaction, repository_id: int, name: str) -> None:
    """Give a repository another name.

    Raises:
        ConstraintViolated: There is one of this name.
    """
    await tx.execute(_RENAME, repository=repository_id, new_name=name, new_sort_key=sort_key(name), now=clock.now())


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
