"""What triggers keep as it changes (see `migrations.kept_sums`), and adding what was there before them, in steps.

A database that a program of version 4 filled begins with nothing counted: `complete` says whether that is made up for.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, bindparam, column, func, insert, select, table, update

from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.migrations.kept_sums import ARTIFACTS, BYTES, EVERYTHING
from entrepot.metadata.query import Query
from entrepot.metadata.tables import artifacts, blobs, manifests, sums

__all__ = ["ARTIFACTS", "BYTES", "add_artifacts", "add_blobs", "complete", "stored_bytes"]

#: Rows that one transaction adds: some milliseconds.
STEP: Final = 500
_S = sums.c
_THROUGH = Query(select(func.min(_S.through)).where(_S.name == bindparam("name")), "sums.through")
_VALUE = Query(select(func.sum(_S.value)).where(_S.name == bindparam("name")), "sums.value")
_GO_ON = Query(
    update(sums).where(_S.name == bindparam("sum"), _S.through < bindparam("edge")).values(through=bindparam("edge")),
    "sums.go_on",
)
_ADD = Query(
    update(sums)
    .where(_S.name == bindparam("sum"), _S.part == bindparam("first"))
    .values(value=_S.value + bindparam("more", type_=WHOLE)),
    "sums.add",
)


def _edge(rows: Any) -> Select[Any]:
    after = select(rows.c.id).where(rows.c.id > bindparam("through")).order_by(rows.c.id).limit(bindparam("step"))
    found = after.subquery()
    return select(func.max(found.c.id))


_BLOB_EDGE = Query(_edge(blobs), "sums.blob_edge")
_MANIFEST_EDGE = Query(_edge(manifests), "sums.manifest_edge")
_BLOBS = Query(
    select(func.coalesce(func.sum(blobs.c.size), 0)).where(
        blobs.c.id > bindparam("through"), blobs.c.id <= bindparam("edge"), blobs.c.state != bindparam("missing")
    ),
    "sums.blobs",
)
#: The view of manifests that stand for themselves.
STANDING: Final = table("standing", column("manifest_id", WHOLE), column("repository_id", WHOLE))
_ARTIFACTS = Query(
    insert(artifacts).from_select(
        ["manifest_id", "repository_id"],
        select(STANDING.c.manifest_id, STANDING.c.repository_id).where(
            STANDING.c.manifest_id > bindparam("through", type_=WHOLE),
            STANDING.c.manifest_id <= bindparam("edge", type_=WHOLE),
            ~select(1).where(artifacts.c.manifest_id == STANDING.c.manifest_id).exists(),
        ),
    ),
    "sums.artifacts",
)


async def complete(reader: Reader, name: str) -> bool:
    """Tell whether everything that is there is in a sum."""
    return await _through(reader, name) == EVERYTHING


async def stored_bytes(reader: Reader) -> int:
    """Return the bytes of all blobs, each once; of those that are in the sum so far."""
    row = await reader.one(_VALUE, name=BYTES)
    return 0 if row is None or row[0] is None else int(row[0])


async def add_blobs(tx: Transaction, *, step: int = STEP) -> bool:
    """Add some blobs to the sum of their bytes; True when nothing is left."""
    through = await _through(tx, BYTES)
    edge = await _next(tx, _BLOB_EDGE, through, step)
    if edge != EVERYTHING:
        more = await tx.one(_BLOBS, through=through, edge=edge, missing="missing")
        assert more is not None
        await tx.execute(_ADD, sum=BYTES, first=0, more=int(more[0]))
    await tx.execute(_GO_ON, sum=BYTES, edge=edge)
    return edge == EVERYTHING


async def add_artifacts(tx: Transaction, *, step: int = STEP) -> bool:
    """Look at some manifests whether they stand for themselves; True when nothing is left."""
    through = await _through(tx, ARTIFACTS)
    edge = await _next(tx, _MANIFEST_EDGE, through, step)
    if edge != EVERYTHING:
        await tx.execute(_ARTIFACTS, through=through, edge=edge)
    await tx.execute(_GO_ON, sum=ARTIFACTS, edge=edge)
    return edge == EVERYTHING


async def _through(reader: Reader, name: str) -> int:
    row = await reader.one(_THROUGH, name=name)
    return EVERYTHING if row is None or row[0] is None else int(row[0])


async def _next(tx: Transaction, query: Query, through: int, step: int) -> int:
    row = await tx.one(query, through=through, step=step) if through < EVERYTHING else None
    return EVERYTHING if row is None or row[0] is None else int(row[0])
