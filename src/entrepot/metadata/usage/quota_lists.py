"""Quotas in lists: each project with what it uses and what it may."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Reader, Row
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import principals, project_usage, projects
from entrepot.metadata.trash_namespaces import listed
from entrepot.metadata.usage.usage import STANDING, Standing, standing_of


@dataclass(frozen=True, slots=True)
class QuotaRecord:
    """One project's quota; it goes by the project's id."""

    id: int
    project: str
    owner: str | None
    created_at: int
    updated_at: int
    standing: Standing


_ALL = (
    select(projects.c.id, projects.c.name, principals.c.name, projects.c.created_at, projects.c.updated_at, *STANDING)
    .select_from(
        projects.outerjoin(project_usage, project_usage.c.project_id == projects.c.id).outerjoin(
            principals, principals.c.id == projects.c.owner_id
        )
    )
    .where(listed(projects.c.name))
)
FIELDS = {
    "id": Field(projects.c.id, Kind.NUMBER),
    "reference_id": Field(projects.c.id, Kind.NUMBER),
    "name": Field(projects.c.name),
    "hard.storage": Field(func.coalesce(project_usage.c.hard_bytes, -1), Kind.NUMBER),
    "used.storage": Field(
        func.coalesce(project_usage.c.blob_bytes, 0) + func.coalesce(project_usage.c.manifest_bytes, 0), Kind.NUMBER
    ),
    "creation_time": Field(projects.c.created_at, Kind.TIME),
    "update_time": Field(projects.c.updated_at, Kind.TIME),
}
ALL = Listing("quota_lists.all", _ALL, FIELDS, order=(Order("name"),), key=projects.c.id)
_ONE = Query(_ALL.where(projects.c.id == bindparam("id")), "quota_lists.one")


def _record(row: Row) -> QuotaRecord:
    number, project, owner, created_at, updated_at, *standing = row
    return QuotaRecord(number, project, owner, created_at, updated_at, standing_of(tuple(standing)))


async def page(reader: Reader, selection: Selection) -> Listed[QuotaRecord]:
    """Return a page of all quotas."""
    return (await ALL.read(reader, selection)).map(_record)


async def find(reader: Reader, project_id: int) -> QuotaRecord | None:
    """Return the quota of one project."""
    row = await reader.one(_ONE, id=project_id)
    return None if row is None else _record(row)
