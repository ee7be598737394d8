"""Projects: the first part of a repository name, owner of members and policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, cast, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.people import robots
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import project_usage, projects, settings
from entrepot.metadata.trash_namespaces import listed


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """One project."""

    id: int
    name: str
    public: bool
    internal: bool  #: people who are signed in may read it
    owner_id: int | None
    created_at: int
    updated_at: int


COLUMNS = (
    projects.c.id,
    projects.c.name,
    projects.c.public,
    projects.c.internal,
    projects.c.owner_id,
    projects.c.created_at,
    projects.c.updated_at,
)
_FIND = Query(select(*COLUMNS).where(projects.c.name == bindparam("name")), "projects.find")
_FIND_ALL = Query(select(*COLUMNS).where(in_list(projects.c.name, "names")), "projects.find_all")
_BY_ID = select(*COLUMNS).where(projects.c.id == bindparam("id"))
_FIND_BY_ID = Query(_BY_ID.where(listed(projects.c.name)), "projects.find_by_id")
#: Nobody renames it, or deletes it, before the transaction ends, so that something may be put into it.
_HOLD = Query(
    select(*COLUMNS).where(projects.c.name == bindparam("name")).with_for_update(read=True, key_share=True),
    "projects.hold",
)
_LOCK = Query(_BY_ID.with_for_update(), "projects.lock")
_FIND_DELETED = Query(_BY_ID.where(~listed(projects.c.name)), "projects.find_deleted")
_PUBLIC = Query(select(projects.c.name).where(projects.c.public == 1, listed(projects.c.name)), "projects.public")
_INTERNAL = Query(select(projects.c.name).where(projects.c.internal == 1, listed(projects.c.name)), "projects.internal")
_SET_VISIBILITY = Query(
    update(projects)
    .where(projects.c.name == bindparam("project"))
    .values(public=bindparam("is_public"), internal=bindparam("is_internal"), updated_at=bindparam("at")),
    "projects.set_visibility",
)
_SET_OWNER = Query(
    update(projects).where(projects.c.id == bindparam("project")).values(owner_id=bindparam("owner")),
    "projects.set_owner",
)
_RENAME = Query(
    update(projects)
    .where(projects.c.id == bindparam("project"))
    .values(name=bindparam("new_name"), updated_at=bindparam("at")),
    "projects.rename",
)
_TOUCH = Query(
    update(projects).where(projects.c.id == bindparam("project")).values(updated_at=bindparam("at")), "projects.touch"
)
_REMOVE = Query(delete(projects).where(projects.c.id == bindparam("id")), "projects.remove")
_CREATE = Query(
    lambda d: (
        d.insert(projects)
        .values(
            name=bindparam("name"),
            public=0,
            created_at=bindparam("created_at"),
            updated_at=bindparam("created_at"),
        )
        .on_conflict_do_nothing()
    ),
    "projects.create",
)
#: The setting that says how many bytes a new project may use; -1 for no limit.
DEFAULT_LIMIT = "configuration.storage_per_project"
_LIMIT = cast(settings.c.value, WHOLE)
_LIMIT_NEW = Query(
    lambda d: (
        d.insert(project_usage)
        .from_select(
            ["project_id", "hard_bytes"],
            select(projects.c.id, _LIMIT)
            .select_from(projects)
            .join(settings, settings.c.key == DEFAULT_LIMIT)
            .where(projects.c.name == bindparam("name"), _LIMIT > 0),
        )
        .on_conflict_do_nothing()
    ),
    "projects.limit_new",
)


def record_of(row: Row) -> ProjectRecord:
    """Return the project in a row of `COLUMNS`."""
    return ProjectRecord(*(*row[:2], bool(row[2]), bool(row[3]), *row[4:]))


async def find(reader: Reader, name: str) -> ProjectRecord | None:
    """Return the project of this name, if there is one."""
    row = await reader.one(_FIND, name=name)
    return None if row is None else record_of(row)


async def find_all(reader: Reader, names: Iterable[str]) -> list[ProjectRecord]:
    """Return those projects of these names that there are, in no order."""
    return [record_of(row) for row in await reader.all(_FIND_ALL, names=names)]


async def find_by_id(reader: Reader, project_id: int) -> ProjectRecord | None:
    """Return the project of this id, if there is one."""
    row = await reader.one(_FIND_BY_ID, id=project_id)
    return None if row is None else record_of(row)


async def hold(tx: Transaction, name: str) -> ProjectRecord | None:
    """Return the project of this name, which keeps it until the transaction ends."""
    row = await tx.one(_HOLD, name=name)
    return None if row is None else record_of(row)


async def lock(tx: Transaction, project_id: int) -> ProjectRecord | None:
    """Return the project of this id, deleted or not: until the transaction ends nobody renames it, or adds to it."""
    row = await tx.one(_LOCK, id=project_id)
    return None if row is None else record_of(row)


async def find_deleted(reader: Reader, project_id: int) -> ProjectRecord | None:
    """Return the project of this id if it is in the trash."""
    row = await reader.one(_FIND_DELETED, id=project_id)
    return None if row is None else record_of(row)


async def public_names(reader: Reader) -> list[str]:
    """Return the names of all public projects."""
    return [row[0] for row in await reader.all(_PUBLIC)]


async def internal_names(reader: Reader) -> list[str]:
    """Return the names of all projects that whoever is signed in may read."""
    return [row[0] for row in await reader.all(_INTERNAL)]


async def ensure(tx: Transaction, name: str) -> ProjectRecord:
    """Return the project of this name, created if it is missing; it keeps its name until the transaction ends."""
    found = None
    while found is None:  # somebody may delete it between the two
        await create(tx, name)
        found = await hold(tx, name)
    return found


async def create(tx: Transaction, name: str) -> bool:
    """Add a private project with the limit of new ones; False when one of this name is there, which stays as it is."""
    if await tx.execute(_CREATE, name=name, created_at=clock.now()) != 1:
        return False
    await tx.execute(_LIMIT_NEW, name=name)
    return True


async def rename(tx: Transaction, project_id: int, name: str) -> None:
    """Give a project another name; its repositories keep theirs.

    Raises:
        ConstraintViolated: There is one of this name.
    """
    await tx.execute(_RENAME, project=project_id, new_name=name, at=clock.now())


async def touch(tx: Transaction, project_id: int) -> None:
    """Note that a project was changed."""
    await tx.execute(_TOUCH, project=project_id, at=clock.now())


async def remove(tx: Transaction, project_id: int) -> bool:
    """Remove a project without repositories, with its settings, labels, grants and robots; False when there is none.

    Raises:
        ConstraintViolated: It has repositories.
    """
    await robots.remove_of_project(tx, project_id)
    return await tx.execute(_REMOVE, id=project_id) == 1


async def set_visibility(tx: Transaction, name: str, *, public: bool, internal: bool) -> bool:
    """Say who may read a project without a grant; False when there is no such project."""
    changed = await tx.execute(
        _SET_VISIBILITY, project=name, is_public=int(public), is_internal=int(internal), at=clock.now()
    )
    return changed == 1


async def set_owner(tx: Transaction, project_id: int, owner_id: int) -> None:
    """Note who made a project."""
    await tx.execute(_SET_OWNER, project=project_id, owner=owner_id)
