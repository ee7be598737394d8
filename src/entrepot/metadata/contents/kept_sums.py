"""What triggers keep as it changes (see `migrations.kept_sums`), and adding what was there before them, in steps.

A database that a program of version 4 filled begins with nothing counted: `complete` says whether that is made up for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, Select, bindparam, column, delete, func, select, table, update

from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.migrations import kept_sums
from entrepot.metadata.migrations.kept_sums import EVERYTHING
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import artifacts, blobs, manifests, repositories, sums

ARTIFACTS: Final = kept_sums.ARTIFACTS
BYTES: Final = kept_sums.BYTES
#: Rows that one transaction adds: some milliseconds.
STEP: Final = 500
_S = sums.c
_THROUGH = Query(select(func.min(_S.through)).where(_S.name == bindparam("name")), "kept_sums.through")
_VALUE = Query(select(func.sum(_S.value)).where(_S.name == bindparam("name")), "kept_sums.value")
_GO_ON = Query(
    update(sums).where(_S.name == bindparam("sum"), _S.through < bindparam("edge")).values(through=bindparam("edge")),
    "kept_sums.go_on",
)
_ADD = Query(
    update(sums)
    .where(_S.name == bindparam("sum"), _S.part == bindparam("first"))
    .values(value=_S.value + bindparam("more", type_=WHOLE)),
    "kept_sums.add",
)


def _edge(rows: Any) -> Select[Any]:
    after = select(rows.c.id).where(rows.c.id > bindparam("through")).order_by(rows.c.id).limit(bindparam("step"))
    found = after.subquery()
    return select(func.max(found.c.id))


_BLOB_EDGE = Query(_edge(blobs), "kept_sums.blob_edge")
_MANIFEST_EDGE = Query(_edge(manifests), "kept_sums.manifest_edge")
_BLOBS = Query(
    select(func.coalesce(func.sum(blobs.c.size), 0)).where(
        blobs.c.id > bindparam("through"), blobs.c.id <= bindparam("edge"), blobs.c.state != bindparam("missing")
    ),
    "kept_sums.blobs",
)
#: The view of manifests that stand for themselves.
STANDING: Final = table("standing", column("manifest_id", WHOLE), column("repository_id", WHOLE))


def _note(*conditions: ColumnElement[bool]) -> Callable[[Dialect], Executable]:
    """Note manifests that stand for themselves; which of two that find one at once does so makes no difference."""
    found = select(STANDING.c.manifest_id, STANDING.c.repository_id).where(*conditions)
    columns = ["manifest_id", "repository_id"]
    return lambda dialect: dialect.insert(artifacts).from_select(columns, found).on_conflict_do_nothing()


_ARTIFACTS = Query(
    _note(
        STANDING.c.manifest_id > bindparam("through", type_=WHOLE),
        STANDING.c.manifest_id <= bindparam("edge", type_=WHOLE),
    ),
    "kept_sums.artifacts",
)


_M = manifests.c
_STANDS = select(1).where(STANDING.c.manifest_id == _M.id).correlate(manifests).exists()
_IS_KEPT = select(1).where(artifacts.c.manifest_id == _M.id).correlate(manifests).exists()
_ASTRAY = Query(
    select(_M.id, repositories.c.name, _M.digest)
    .join(repositories, repositories.c.id == _M.repository_id)
    .where(_M.id.between(bindparam("first"), bindparam("last")), _STANDS != _IS_KEPT),
    "kept_sums.astray",
)
_DROP = Query(
    delete(artifacts).where(
        in_list(artifacts.c.manifest_id, "ids"),
        ~select(1).where(STANDING.c.manifest_id == artifacts.c.manifest_id).exists(),
    ),
    "kept_sums.drop",
)
_KEEP = Query(_note(in_list(STANDING.c.manifest_id, "ids")), "kept_sums.keep")
_R = repositories.c
_COUNTED = select(func.count()).select_from(artifacts).where(artifacts.c.repository_id == _R.id)
_NUMBER = _COUNTED.correlate(repositories).scalar_subquery()
_WRONG_COUNTS = Query(
    select(_R.id, _R.name, _NUMBER - _R.artifact_count).where(
        _R.id.between(bindparam("first"), bindparam("last")), _R.artifact_count != _NUMBER
    ),
    "kept_sums.wrong_counts",
)
_RECOUNT = Query(
    update(repositories).where(in_list(_R.id, "ids")).values(artifact_count=_NUMBER),
    "kept_sums.recount",
)
_KEPT_BYTES = select(func.coalesce(func.sum(_S.value), 0)).where(_S.name == BYTES).scalar_subquery()
_WRONG_BYTES = Query(
    select(func.coalesce(func.sum(blobs.c.size), 0) - _KEPT_BYTES).where(blobs.c.state != bindparam("missing")),
    "kept_sums.wrong_bytes",
)
_FORGET = Query(update(sums).where(_S.name == bindparam("sum")).values(value=0, through=0), "kept_sums.forget")
_LAST = Query(select(select(func.max(_M.id)).scalar_subquery(), func.max(_R.id)), "kept_sums.last")


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


async def last_ids(reader: Reader) -> tuple[int, int]:
    """Return the highest row ids of manifests and of repositories."""
    row = await reader.one(_LAST)
    return (0, 0) if row is None else (row[0] or 0, row[1] or 0)


async def astray(reader: Reader, first: int, last: int) -> list[tuple[int, str]]:
    """Return the manifests of a window of row ids of which it is not kept whether they stand for themselves."""
    return [(row[0], f"{row[1]}@{row[2]}") for row in await reader.all(_ASTRAY, first=first, last=last)]


async def look_at(tx: Transaction, ids: Sequence[int]) -> None:
    """Look at manifests anew."""
    await tx.execute(_DROP, ids=list(ids))
    await tx.execute(_KEEP, ids=list(ids))


async def wrong_counts(reader: Reader, first: int, last: int) -> list[tuple[int, str, int]]:
    """Return the repositories of a window of row ids that count their artifacts wrongly, and what they lack."""
    found = await patient(reader).all(_WRONG_COUNTS, first=first, last=last)
    return [(row[0], row[1], row[2]) for row in found]


async def recount(tx: Transaction, ids: Sequence[int]) -> None:
    """Count the artifacts of repositories anew."""
    await tx.execute(_RECOUNT, ids=list(ids))


async def missing_bytes(reader: Reader) -> int:
    """Return what the sum of all blobs' bytes lacks."""
    row = await patient(reader).one(_WRONG_BYTES, missing="missing")
    return 0 if row is None else int(row[0])


async def forget_blobs(tx: Transaction) -> None:
    """Begin the sum of all blobs' bytes anew."""
    await tx.execute(_FORGET, sum=BYTES)


async def _through(reader: Reader, name: str) -> int:
    row = await reader.one(_THROUGH, name=name)
    return EVERYTHING if row is None or row[0] is None else int(row[0])


async def _next(tx: Transaction, query: Query, through: int, step: int) -> int:
    row = await tx.one(query, through=through, step=step) if through < EVERYTHING else None
    return EVERYTHING if row is None or row[0] is None else int(row[0])
