"""The trash in lists: of one project, of all, or of those projects whose trash the reader may see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, select

from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import in_list
from entrepot.metadata.tables import projects, trash
from entrepot.metadata.trash import COLUMNS, TrashEntry, entry_of

FIELDS: Final = {
    "id": Field(trash.c.id, Kind.NUMBER),
    "kind": Field(trash.c.kind),
    "project": Field(trash.c.project),
    "repository": Field(trash.c.repository),
    "digest": Field(trash.c.digest),
    "deletion": Field(trash.c.deletion),
    "deleted_by": Field(trash.c.actor),
    "deletion_time": Field(trash.c.deleted_at, Kind.TIME),
    "expiry_time": Field(trash.c.expires_at, Kind.TIME),
}
_LATEST_FIRST: Final = (Order("id", descending=True),)
_BASE: Final = select(*COLUMNS)
_NAMED: Final = select(projects.c.id).where(in_list(projects.c.name, "names"))
ALL: Final = Listing("trash_lists.all", _BASE, FIELDS, order=_LATEST_FIRST, key=trash.c.id)
OF_PROJECT: Final = Listing(
    "trash_lists.of_project",
    _BASE.where(trash.c.project_id == bindparam("project_id")),
    FIELDS,
    order=_LATEST_FIRST,
    key=trash.c.id,
)
VISIBLE: Final = Listing(
    "trash_lists.visible", _BASE.where(trash.c.project_id.in_(_NAMED)), FIELDS, order=_LATEST_FIRST, key=trash.c.id
)


async def every(reader: Reader, selection: Selection) -> Listed[TrashEntry]:
    """Return a page of everything in the trash."""
    return (await ALL.read(reader, selection)).map(entry_of)


async def of_project(reader: Reader, project_id: int, selection: Selection) -> Listed[TrashEntry]:
    """Return a page of what was deleted in one project."""
    return (await OF_PROJECT.read(reader, selection, project_id=project_id)).map(entry_of)


async def visible(reader: Reader, selection: Selection, *, names: Collection[str]) -> Listed[TrashEntry]:
    """Return a page of what was deleted in projects of these names, which those in the trash have too."""
    return (await VISIBLE.read(reader, selection, names=sorted(names))).map(entry_of)
