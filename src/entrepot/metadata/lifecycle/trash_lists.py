"""The trash in lists: of one project, of all, or of those projects whose trash the reader may see.

A manifest may have had any number of tags: a list reads as many of their names as `TAG_CHARACTERS` hold.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Reader, Row
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.lifecycle.trash import COLUMNS, TrashEntry, entry_of
from entrepot.metadata.query import in_list
from entrepot.metadata.tables import projects, trash

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
#: Of the names of an entry's tags, as they are written down: some hundreds of the longest.
TAG_CHARACTERS: Final = 64 * 1024
_TAGS: Final = next(position for position, column in enumerate(COLUMNS) if column is trash.c.tags)
_BASE: Final = select(
    *COLUMNS[:_TAGS],
    func.substr(trash.c.tags, 1, TAG_CHARACTERS).label(trash.c.tags.name),
    *COLUMNS[_TAGS + 1 :],
)
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
    return (await ALL.read(reader, selection)).map(_entry)


async def of_project(reader: Reader, project_id: int, selection: Selection) -> Listed[TrashEntry]:
    """Return a page of what was deleted in one project."""
    return (await OF_PROJECT.read(reader, selection, project_id=project_id)).map(_entry)


async def visible(reader: Reader, selection: Selection, *, names: Collection[str]) -> Listed[TrashEntry]:
    """Return a page of what was deleted in projects of these names, which those in the trash have too."""
    return (await VISIBLE.read(reader, selection, names=sorted(names))).map(_entry)


def _entry(row: Row) -> TrashEntry:
    """Return the entry in a row, with the tags whose names came whole."""
    written = row[_TAGS]
    if written.endswith("]"):
        return entry_of(row)
    named = json.loads(written.rpartition(",")[0] + "]") if "," in written else []
    return entry_of((*row[:_TAGS], json.dumps(named), *row[_TAGS + 1 :]), truncated=True)
