"""Labels: names and colours that people put on artifacts, of one project or of the whole registry."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import labels


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One label; without a project it is for all of them."""

    id: int
    project_id: int | None
    name: str
    description: str
    color: str
    created_at: int
    updated_at: int


COLUMNS = (
    labels.c.id,
    labels.c.project_id,
    labels.c.name,
    labels.c.description,
    labels.c.color,
    labels.c.created_at,
    labels.c.updated_at,
)
FIELDS = {
    "id": Field(labels.c.id, Kind.NUMBER),
    "name": Field(labels.c.name),
    "description": Field(labels.c.description),
    "color": Field(labels.c.color),
    "creation_time": Field(labels.c.created_at, Kind.TIME),
    "update_time": Field(labels.c.updated_at, Kind.TIME),
}
_BY_NAME = (Order("name"),)
_IN = labels.c.project_id == bindparam("project")
_GLOBAL = labels.c.project_id.is_(None)
OF_PROJECT = Listing("labels.of_project", select(*COLUMNS).where(_IN), FIELDS, order=_BY_NAME, key=labels.c.id)
OF_ALL = Listing("labels.of_all", select(*COLUMNS).where(_GLOBAL), FIELDS, order=_BY_NAME, key=labels.c.id)

_FIND = Query(select(*COLUMNS).where(labels.c.id == bindparam("id")), "labels.find")
_NAMED = Query(select(*COLUMNS).where(_IN, labels.c.name == bindparam("name")), "labels.named")
_NAMED_GLOBAL = Query(select(*COLUMNS).where(_GLOBAL, labels.c.name == bindparam("name")), "labels.named_global")
_ADD = Query(
    lambda d: (
        d.insert(labels)
        .values(
            project_id=bindparam("project_id"),
            name=bindparam("name"),
            description=bindparam("description"),
            color=bindparam("color"),
            created_at=bindparam("at"),
            updated_at=bindparam("at"),
        )
        .returning(labels.c.id)
    ),
    "labels.add",
)
_CHANGE = Query(
    update(labels)
    .where(labels.c.id == bindparam("label"))
    .values(
        name=bindparam("new_name"),
        description=bindparam("new_description"),
        color=bindparam("new_color"),
        updated_at=bindparam("at"),
    ),
    "labels.change",
)
_REMOVE = Query(delete(labels).where(labels.c.id == bindparam("id")), "labels.remove")


async def find(reader: Reader, label_id: int) -> LabelRecord | None:
    """Return the label of this id, if there is one."""
    row = await reader.one(_FIND, id=label_id)
    return None if row is None else _record(row)


async def named(reader: Reader, project_id: int | None, name: str) -> LabelRecord | None:
    """Return the label of this name in a project, or among those for all."""
    if project_id is None:
        row = await reader.one(_NAMED_GLOBAL, name=name)
    else:
        row = await reader.one(_NAMED, project=project_id, name=name)
    return None if row is None else _record(row)


async def page(reader: Reader, project_id: int | None, selection: Selection) -> Listed[LabelRecord]:
    """Return a page of the labels of a project, or of those for all."""
    if project_id is None:
        return (await OF_ALL.read(reader, selection)).map(_record)
    return (await OF_PROJECT.read(reader, selection, project=project_id)).map(_record)


async def add(tx: Transaction, project_id: int | None, *, name: str, description: str, color: str) -> int:
    """Add a label and return its id; whether the name is free, the caller has looked in the same transaction."""
    row = await tx.one(_ADD, project_id=project_id, name=name, description=description, color=color, at=clock.now())
    assert row is not None
    return int(row[0])


async def change(tx: Transaction, label_id: int, *, name: str, description: str, color: str) -> bool:
    """Change a label; False when there is none of this id."""
    changed = await tx.execute(
        _CHANGE, label=label_id, new_name=name, new_description=description, new_color=color, at=clock.now()
    )
    return changed == 1


async def remove(tx: Transaction, label_id: int) -> bool:
    """Remove a label, also from all artifacts; False when there is none of this id."""
    return await tx.execute(_REMOVE, id=label_id) == 1


def _record(row: Row) -> LabelRecord:
    return LabelRecord(*row)
