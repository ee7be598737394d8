"""Labels on artifacts: put there and taken off."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, or_, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import labels, manifest_labels

#: Labels of the registry as a whole, and those of the artifact's own project.
_USABLE = Query(
    select(labels.c.name).where(
        labels.c.id == bindparam("label"),
        or_(labels.c.project_id.is_(None), labels.c.project_id == bindparam("project")),
    ),
    "artifact_labels.usable",
)
_ADD = Query(
    lambda d: (
        d.insert(manifest_labels)
        .values(manifest_id=bindparam("manifest_id"), label_id=bindparam("label_id"))
        .on_conflict_do_nothing()
    ),
    "artifact_labels.add",
)
_REMOVE = Query(
    delete(manifest_labels).where(
        manifest_labels.c.manifest_id == bindparam("manifest_id"), manifest_labels.c.label_id == bindparam("label_id")
    ),
    "artifact_labels.remove",
)


async def usable(reader: Reader, label_id: int, project_id: int) -> str | None:
    """Return the name of a label that artifacts of a project may have; None when there is none of this id."""
    row = await reader.one(_USABLE, label=label_id, project=project_id)
    return None if row is None else str(row[0])


async def add(tx: Transaction, manifest_id: int, label_id: int) -> bool:
    """Put a label on a manifest; False when it is there already."""
    return await tx.execute(_ADD, manifest_id=manifest_id, label_id=label_id) == 1


async def remove(tx: Transaction, manifest_id: int, label_id: int) -> bool:
    """Take a label off a manifest; False when it was not there."""
    return await tx.execute(_REMOVE, manifest_id=manifest_id, label_id=label_id) == 1
