"""Members of projects, and every grant, as lists that people page through."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, or_, select

from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.people import principals
from entrepot.metadata.people.grants import GrantRecord, record_of, select_grants
from entrepot.metadata.query import Query
from entrepot.metadata.tables import grants, projects, roles
from entrepot.metadata.tables import principals as accounts


def _members() -> Select[Any]:
    """Select the roles that people and groups have on one project; robots have permissions one by one."""
    return select_grants().where(
        grants.c.project_id == bindparam("project_id"),
        grants.c.role_id.is_not(None),
        or_(accounts.c.kind == principals.USER, accounts.c.kind == principals.GROUP),
    )


_FIELDS = {
    "id": Field(column=grants.c.id, kind=Kind.NUMBER),
    "entity_name": Field(column=accounts.c.name),
    "entity_type": Field(column=accounts.c.kind),
    "role_id": Field(column=grants.c.role_id, kind=Kind.NUMBER),
    "role_name": Field(column=roles.c.name),
}
MEMBERS = Listing("members", _members(), _FIELDS, order=(Order("entity_name"),), key=grants.c.id)
GRANTS = Listing(
    "grants",
    select_grants(),
    _FIELDS
    | {
        "project": Field(column=projects.c.name),
        "origin": Field(column=grants.c.origin),
        "audience": Field(column=grants.c.audience),
        "creation_time": Field(column=grants.c.created_at, kind=Kind.TIME),
    },
    order=(Order("id"),),
    key=grants.c.id,
)
_SAME = Query(
    select(grants.c.id, grants.c.repositories, grants.c.tags).where(
        grants.c.principal_id == bindparam("principal_id"),
        grants.c.project_id == bindparam("project_id"),
        grants.c.role_id.is_not(None),
    ),
    "members.same",
)


async def page(reader: Reader, project_id: int, selection: Selection) -> Listed[GrantRecord]:
    """Return a page of a project's members; `MEMBERS.fields` says by what they are filtered and sorted.

    Raises:
        FieldUnknown: The selection names another field.
    """
    return (await MEMBERS.read(reader, selection, project_id=project_id)).map(record_of)


async def every_grant(reader: Reader, selection: Selection) -> Listed[GrantRecord]:
    """Return a page of all grants; `GRANTS.fields` says by what they are filtered and sorted.

    Raises:
        FieldUnknown: The selection names another field.
    """
    return (await GRANTS.read(reader, selection)).map(record_of)


async def same(
    reader: Reader, principal_id: int, project_id: int, repositories: str | None, tags: str | None
) -> int | None:
    """Return the id of the membership that somebody has on the same part of a project, if there is one."""
    rows = await reader.all(_SAME, principal_id=principal_id, project_id=project_id)
    return next((int(row[0]) for row in rows if (row[1], row[2]) == (repositories, tags)), None)
