"""How often and when manifests were pulled, and how often repositories: written many at once, by the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, case, exists, select, update
from sqlalchemy.sql.elements import BindParameter

from entrepot.metadata import settings
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_children, manifest_pulls, manifests, repositories


@dataclass(frozen=True, slots=True)
class Pulled:
    """Pulls of one manifest that are still to be written down."""

    count: int
    last_at: int


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=WHOLE)


#: A manifest that was deleted since it was pulled is passed over.
_ADD = Query(
    lambda d: (
        insert := d.insert(manifest_pulls).from_select(
            ["manifest_id", "count", "last_at"],
            select(manifests.c.id, _number("pulls"), _number("at"))
            .where(manifests.c.id == bindparam("manifest"))
            .with_for_update(key_share=True, read=True),
        )
    ).on_conflict_do_update(
        index_elements=[manifest_pulls.c.manifest_id],
        set_={
            "count": manifest_pulls.c.count + insert.excluded.count,
            "last_at": case(
                (insert.excluded.last_at > manifest_pulls.c.last_at, insert.excluded.last_at),
                else_=manifest_pulls.c.last_at,
            ),
        },
    ),
    "pulls.add",
)
_REPOSITORIES = Query(
    select(manifests.c.id, manifests.c.repository_id).where(
        in_list(manifests.c.id, "ids"),
        ~exists(select(1).where(manifest_children.c.child_id == manifests.c.id)).correlate(manifests),
    ),
    "pulls.repositories",
)
_ADD_TO_REPOSITORY = Query(
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values(pull_count=repositories.c.pull_count + _number("pulls")),
    "pulls.add_to_repository",
)


async def add(tx: Transaction, pulls: Mapping[int, Pulled]) -> None:
    """Add pulls, by the row ids of manifests.

    A repository counts those of what a client asks for first: after an index comes the manifest for its platform, which
    belongs to the same pull.
    """
    rows = [{"manifest": row_id, "pulls": pulls[row_id].count, "at": pulls[row_id].last_at} for row_id in sorted(pulls)]
    await tx.many(_ADD, rows)
    counted: dict[int, int] = {}
    for manifest_id, repository_id in await tx.all(_REPOSITORIES, ids=list(pulls)):
        counted[repository_id] = counted.get(repository_id, 0) + pulls[manifest_id].count
    await tx.many(
        _ADD_TO_REPOSITORY, [{"repository": row_id, "pulls": count} for row_id, count in sorted(counted.items())]
    )


#: When somebody last wanted all pulls to be written down.
_WANTED: Final = "pulls-wanted"


async def want(tx: Transaction, at: int) -> None:
    """Ask every process to write down soon the pulls that it noted until a moment."""
    await settings.put(tx, _WANTED, str(at))


async def wanted_at(reader: Reader) -> int:
    """Return when somebody last asked for that; 0 for never."""
    return int(await settings.find(reader, _WANTED) or 0)
