"""Which projects a reader sees, for lists of projects and of what is in them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, select, union_all

from entrepot.metadata.query import in_list
from entrepot.metadata.tables import projects

#: In place of 1 where nothing is to be found.
_NEVER: Final = -1
#: Ids of projects; `seen` gives the values.
VISIBLE_PROJECTS: Final = union_all(
    select(projects.c.id).where(projects.c.public == bindparam("public")),
    select(projects.c.id).where(projects.c.internal == bindparam("internal")),
    select(projects.c.id).where(in_list(projects.c.name, "names")),
)


def seen(names: Collection[str], *, public: bool, internal: bool) -> dict[str, object]:
    """Return the values for projects of these names, and for those that are public or internal where that is asked."""
    return {
        "names": sorted(names),
        "public": 1 if public else _NEVER,
        "internal": 1 if internal else _NEVER,
    }
