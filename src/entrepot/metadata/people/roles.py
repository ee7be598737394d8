"""Roles: named sets of permissions. What the permissions mean, `access` knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import grants, roles


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """One role; permissions are of the form `resource:action`, wildcards as written."""

    id: int
    name: str
    description: str
    permissions: frozenset[str]
    built_in: bool
    updated_at: int


_R = roles.c
_COLUMNS = (_R.id, _R.name, _R.description, _R.permissions, _R.built_in, _R.updated_at)
_LIST = Query(select(*_COLUMNS).order_by(roles.c.id), "roles.list")
_BUILT_IN = Query(select(*_COLUMNS).where(roles.c.built_in == 1), "roles.built_in")
_FIND = Query(select(*_COLUMNS).where(roles.c.id == bindparam("id")), "roles.find")
_FIND_NAMED = Query(select(*_COLUMNS).where(roles.c.name == bindparam("name")), "roles.find_named")
_LAST = Query(select(func.max(roles.c.id)), "roles.last")
_PUT = Query(
    lambda d: (
        insert := d.insert(roles).values(
            id=bindparam("id"),
            name=bindparam("name"),
            description=bindparam("description"),
            permissions=bindparam("permissions"),
            built_in=bindparam("built_in"),
            created_at=bindparam("created_at"),
            updated_at=bindparam("updated_at"),
        )
    ).on_conflict_do_update(
        index_elements=[roles.c.id],
        set_={name: getattr(insert.excluded, name) for name in ("name", "description", "permissions", "updated_at")},
    ),
    "roles.put",
)
_CHANGE = Query(
    update(roles)
    .where(roles.c.id == bindparam("role"), roles.c.built_in == 0)
    .values(
        name=bindparam("new_name"),
        description=bindparam("new_description"),
        permissions=bindparam("new_permissions"),
        updated_at=bindparam("at"),
    ),
    "roles.change",
)
_REMOVE = Query(delete(roles).where(roles.c.id == bindparam("id"), roles.c.built_in == 0), "roles.remove")
_USES = Query(select(func.count()).select_from(grants).where(grants.c.role_id == bindparam("id")), "roles.uses")


def _record(row: Row) -> RoleRecord:
    return RoleRecord(row[0], row[1], row[2], _split(row[3]), bool(row[4]), row[5])


def _split(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


async def list_all(reader: Reader) -> list[RoleRecord]:
    """Return every role, those that come with the registry first."""
    return [_record(row) for row in await reader.all(_LIST)]


async def built_in(reader: Reader) -> list[RoleRecord]:
    """Return the roles that come with the registry."""
    return [_record(row) for row in await reader.all(_BUILT_IN)]


async def find(reader: Reader, role_id: int) -> RoleRecord | None:
    """Return the role of this id, if there is one."""
    row = await reader.one(_FIND, id=role_id)
    return None if row is None else _record(row)


async def find_named(reader: Reader, name: str) -> RoleRecord | None:
    """Return the role of this name, if there is one."""
    row = await reader.one(_FIND_NAMED, name=name)
    return None if row is None else _record(row)


async def put_built_in(
    tx: Transaction, role_id: int, *, name: str, description: str, permissions: Iterable[str]
) -> None:
    """Write a role that comes with the registry, or bring it up to date."""
    await _put(tx, role_id, name, description, permissions, built_in=True)


async def create(tx: Transaction, *, first_id: int, name: str, description: str, permissions: Iterable[str]) -> int:
    """Add a role made by people, with an id from `first_id` on, and return the id.

    Raises:
        ConstraintViolated: There is a role of this name.
    """
    last = await tx.one(_LAST)
    role_id = max(first_id, (last[0] or 0) + 1) if last is not None else first_id
    await _put(tx, role_id, name, description, permissions, built_in=False)
    return role_id


async def change(tx: Transaction, role_id: int, *, name: str, description: str, permissions: Iterable[str]) -> bool:
    """Change a role made by people; False when there is none of this id."""
    text = ",".join(sorted(permissions))
    changed = await tx.execute(
        _CHANGE, role=role_id, new_name=name, new_description=description, new_permissions=text, at=clock.now()
    )
    return changed == 1


async def remove(tx: Transaction, role_id: int) -> bool:
    """Remove a role made by people; False when there is none of this id.

    Raises:
        ConstraintViolated: A grant still gives it.
    """
    return await tx.execute(_REMOVE, id=role_id) == 1


async def uses(reader: Reader, role_id: int) -> int:
    """Count the grants that give a role."""
    row = await reader.one(_USES, id=role_id)
    return 0 if row is None else int(row[0])


async def _put(
    tx: Transaction, role_id: int, name: str, description: str, permissions: Iterable[str], *, built_in: bool
) -> None:
    at = clock.now()
    await tx.execute(
        _PUT,
        id=role_id,
        name=name,
        description=description,
        permissions=",".join(sorted(permissions)),
        built_in=int(built_in),
        created_at=at,
        updated_at=at,
    )
