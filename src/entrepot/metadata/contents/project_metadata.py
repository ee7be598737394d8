"""What projects are set to, by Harbor's names for it. Who may read a project stands in `projects`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import project_metadata

_OF = Query(
    select(project_metadata.c.project_id, project_metadata.c.key, project_metadata.c.value).where(
        in_list(project_metadata.c.project_id, "projects")
    ),
    "project_metadata.of",
)
_PUT = Query(
    lambda d: (
        insert := d.insert(project_metadata).values(
            project_id=bindparam("project_id"), key=bindparam("key"), value=bindparam("value")
        )
    ).on_conflict_do_update(
        index_elements=[project_metadata.c.project_id, project_metadata.c.key], set_={"value": insert.excluded.value}
    ),
    "project_metadata.put",
)
_REMOVE = Query(
    delete(project_metadata).where(
        project_metadata.c.project_id == bindparam("project"), project_metadata.c.key == bindparam("name")
    ),
    "project_metadata.remove",
)


async def of_projects(reader: Reader, project_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the settings of some projects, by their ids; projects without any have an empty entry."""
    found: dict[int, dict[str, str]] = {project: {} for project in project_ids}
    for project, key, value in await reader.all(_OF, projects=list(found)):
        found[project][key] = value
    return found


async def put(tx: Transaction, project_id: int, settings: Mapping[str, str]) -> None:
    """Set what a project is set to; other settings stay."""
    for key, value in settings.items():
        await tx.execute(_PUT, project_id=project_id, key=key, value=value)


async def remove(tx: Transaction, project_id: int, key: str) -> bool:
    """Take one setting away; False when there is none of this name."""
    return await tx.execute(_REMOVE, project=project_id, name=key) == 1
