"""Grants: a role, or permissions one by one, given to a user, a robot, a group or an audience."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, or_, select, union_all, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import grants, memberships, principals, projects, roles


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """One grant, with the names of what it refers to; either `principal_id` or `audience` is set."""

    id: int
    principal_id: int | None
    principal_kind: str | None  #: user, robot or group
    principal_name: str | None
    audience: str | None
    role_id: int | None
    role: str | None
    permissions: frozenset[str]  #: of the role, or given one by one; wildcards as written
    project_id: int | None
    project: str | None
    repositories: str | None
    tags: str | None
    expires_at: int | None
    origin: str
    created_at: int


def select_grants() -> Select[Any]:
    """Select grants with the names of what they refer to, in no order."""
    return select(
        grants.c.id,
        grants.c.principal_id,
        principals.c.kind,
        principals.c.name,
        grants.c.audience,
        grants.c.role_id,
        roles.c.name,
        grants.c.permissions,
        roles.c.permissions,
        grants.c.project_id,
        projects.c.name,
        grants.c.repositories,
        grants.c.tags,
        grants.c.expires_at,
        grants.c.origin,
        grants.c.created_at,
    ).select_from(
        grants.outerjoin(principals, principals.c.id == grants.c.principal_id)
        .outerjoin(roles, roles.c.id == grants.c.role_id)
        .outerjoin(projects, projects.c.id == grants.c.project_id)
    )


def _select() -> Select[Any]:
    return select_grants().order_by(grants.c.id)


#: On the registry as a whole, or on one project.
_HERE = or_(
    grants.c.project_id.is_(None),
    grants.c.project_id == select(projects.c.id).where(projects.c.name == bindparam("project")).scalar_subquery(),
)

#: On the registry as a whole, or on one of several projects.
_AT_ANY = or_(
    grants.c.project_id.is_(None),
    grants.c.project_id.in_(select(projects.c.id).where(in_list(projects.c.name, "projects"))),
)


def _reaching(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Three look-ups by index: most of the grants that there are do not reach one account."""
    found = union_all(
        select(grants.c.id).where(grants.c.audience.is_not(None), *conditions),
        select(grants.c.id).where(grants.c.principal_id == bindparam("principal_id"), *conditions),
        select(grants.c.id)
        .join_from(memberships, grants, grants.c.principal_id == memberships.c.group_id)
        .where(memberships.c.principal_id == bindparam("principal_id"), *conditions),
    )
    return grants.c.id.in_(found)


_FOR = Query(_select().where(_reaching()), "grants.list_for")
_HERE_FOR = Query(_select().where(_reaching(_HERE)), "grants.list_here")
_AT_ANY_FOR = Query(_select().where(_reaching(_AT_ANY)), "grants.list_at")
_OF = Query(_select().where(grants.c.principal_id == bindparam("principal_id")), "grants.of_principal")
_FIND = Query(_select().where(grants.c.id == bindparam("id")), "grants.find")
_ADD = Query(
    lambda d: (
        d.insert(grants)
        .values(
            principal_id=bindparam("principal_id"),
            audience=bindparam("audience"),
            role_id=bindparam("role_id"),
            permissions=bindparam("permissions"),
            project_id=bindparam("project_id"),
            repositories=bindparam("repositories"),
            tags=bindparam("tags"),
            expires_at=bindparam("expires_at"),
            origin=bindparam("origin"),
            created_at=bindparam("created_at"),
        )
        .returning(grants.c.id)
    ),
    "grants.add",
)
_SET_ROLE = Query(
    update(grants).where(grants.c.id == bindparam("grant")).values(role_id=bindparam("role"), permissions=None),
    "grants.set_role",
)
_SET_SCOPE = Query(
    update(grants)
    .where(grants.c.id == bindparam("grant"))
    .values(repositories=bindparam("new_repositories"), tags=bindparam("new_tags"), expires_at=bindparam("new_expiry")),
    "grants.set_scope",
)
#: Which of some accounts and groups may do everything by a role of their own, for as long as it lasts.
_WHOLE = Query(
    select_grants().where(
        in_list(grants.c.principal_id, "principals"),
        grants.c.project_id.is_(None),
        grants.c.repositories.is_(None),
        grants.c.tags.is_(None),
    ),
    "grants.whole",
)
_REMOVE = Query(delete(grants).where(grants.c.id == bindparam("id")), "grants.remove")
_REMOVE_FROM = Query(delete(grants).where(grants.c.origin == bindparam("origin")), "grants.remove_from")


def record_of(row: Row) -> GrantRecord:
    """Return the grant in a row of `select_grants`."""
    own, of_role = row[7], row[8]
    permissions = _permissions(own if own is not None else of_role or "")
    return GrantRecord(*(*row[:7], permissions, *row[9:]))


@lru_cache(maxsize=1024)
def _permissions(text: str) -> frozenset[str]:
    """Read a role's permissions once: somebody may have it in thousands of projects."""
    return frozenset(filter(None, text.split(",")))


async def list_for(reader: Reader, principal_id: int | None) -> list[GrantRecord]:
    """Return the grants to an account, to the groups it is in, and to audiences."""
    return [record_of(row) for row in await reader.all(_FOR, principal_id=principal_id)]


async def list_here(reader: Reader, principal_id: int | None, project: str | None) -> list[GrantRecord]:
    """Return those of `list_for` that are on the registry as a whole or on one project: what a decision needs."""
    rows = await reader.all(_HERE_FOR, principal_id=principal_id, project=project)
    return [record_of(row) for row in rows]


async def list_at(reader: Reader, principal_id: int | None, names: Iterable[str]) -> list[GrantRecord]:
    """Return those of `list_for` that are on the registry as a whole or on one of the projects of these names."""
    rows = await reader.all(_AT_ANY_FOR, principal_id=principal_id, projects=names)
    return [record_of(row) for row in rows]


async def of_principal(reader: Reader, principal_id: int) -> list[GrantRecord]:
    """Return the grants made to one user, robot or group itself."""
    return [record_of(row) for row in await reader.all(_OF, principal_id=principal_id)]


async def on_everything(reader: Reader, principal_ids: Iterable[int]) -> list[GrantRecord]:
    """Return what accounts and groups were given on the whole registry."""
    wanted = list(principal_ids)
    return [record_of(row) for row in await reader.all(_WHOLE, principals=wanted)] if wanted else []


async def find(reader: Reader, grant_id: int) -> GrantRecord | None:
    """Return the grant of this id, if there is one."""
    row = await reader.one(_FIND, id=grant_id)
    return None if row is None else record_of(row)


async def add(
    tx: Transaction,
    *,
    origin: str,
    role_id: int | None = None,
    permissions: Iterable[str] | None = None,
    principal_id: int | None = None,
    audience: str | None = None,
    project_id: int | None = None,
    repositories: str | None = None,
    tags: str | None = None,
    expires_at: int | None = None,
) -> int:
    """Give a role, or permissions, to an account, a group or an audience; return the grant's id."""
    row = await tx.one(
        _ADD,
        principal_id=principal_id,
        audience=audience,
        role_id=role_id,
        permissions=None if permissions is None else ",".join(sorted(permissions)),
        project_id=project_id,
        repositories=repositories,
        tags=tags,
        expires_at=expires_at,
        origin=origin,
        created_at=clock.now(),
    )
    assert row is not None
    return int(row[0])


async def set_role(tx: Transaction, grant_id: int, role_id: int) -> bool:
    """Let a grant give another role; False when there is none with this id."""
    return await tx.execute(_SET_ROLE, grant=grant_id, role=role_id) == 1


async def set_scope(
    tx: Transaction, grant_id: int, *, repositories: str | None, tags: str | None, expires_at: int | None
) -> bool:
    """Let a grant reach other repositories and tags, and end at another moment; False when there is none of this id."""
    changed = await tx.execute(
        _SET_SCOPE, grant=grant_id, new_repositories=repositories, new_tags=tags, new_expiry=expires_at
    )
    return changed == 1


async def remove(tx: Transaction, grant_id: int) -> bool:
    """Take one grant back; False when there is none with this id."""
    return await tx.execute(_REMOVE, id=grant_id) == 1


async def remove_from(tx: Transaction, origin: str) -> None:
    """Take back all grants that exist for one reason."""
    await tx.execute(_REMOVE_FROM, origin=origin)
