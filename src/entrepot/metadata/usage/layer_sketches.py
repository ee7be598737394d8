"""Sketches of layers, one for each that was looked into, and which are still to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, select

from entrepot.metadata import clock
from entrepot.metadata.columns import BYTES, TEXT, WHOLE
from entrepot.metadata.contents.blobs import READABLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, layer_sketches


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A blob that can be looked into."""

    id: int
    digest: str
    size: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What was seen inside a blob."""

    blob_id: int
    outcome: str
    expanded_bytes: int
    chunks: int
    sketch: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchedLayer:
    """A blob with its sketch."""

    id: int
    digest: str
    size: int
    outcome: str
    sketch: bytes


_B, _S = blobs.c, layer_sketches.c
#: What was said of zstd before it could be opened; such layers are looked into now.
UNOPENED: Final = "unknown compression"
_COLUMNS: Final = ("version", "outcome", "expanded_bytes", "chunks", "sketch", "looked_at")
_SIZES = Query(
    select(_B.id, _B.size).where(_B.id > bindparam("last"), READABLE).order_by(_B.id).limit(bindparam("limit")),
    "layer_sketches.sizes",
)
_WAITING = Query(
    select(_B.id, _B.digest, _B.size, _B.storage_key)
    .select_from(
        blobs.outerjoin(layer_sketches, (_S.blob_id == _B.id) & (_S.version == bindparam("version", type_=WHOLE)))
    )
    .where(
        _B.id > bindparam("last"),
        _B.size >= bindparam("least"),
        READABLE,
        _S.blob_id.is_(None) | (_S.outcome == UNOPENED),
    )
    .order_by(_B.id)
    .limit(bindparam("limit")),
    "layer_sketches.waiting",
)
_PUT = Query(
    lambda d: (
        insert := d.insert(layer_sketches).from_select(
            ["blob_id", *_COLUMNS],
            select(
                _B.id,
                bindparam("version", type_=WHOLE),
                bindparam("outcome", type_=TEXT),
                bindparam("expanded", type_=WHOLE),
                bindparam("chunks", type_=WHOLE),
                bindparam("sketch", type_=BYTES),
                bindparam("now", type_=WHOLE),
            ).where(_B.id == bindparam("blob")),
        )
    ).on_conflict_do_update(index_elements=[_S.blob_id], set_={name: insert.excluded[name] for name in _COLUMNS}),
    "layer_sketches.put",
)
_PAGE = Query(
    select(_B.id, _B.digest, _B.size, _S.outcome, _S.sketch)
    .join(layer_sketches, _S.blob_id == _B.id)
    .where(_B.id > bindparam("last"), _B.size >= bindparam("least"), _S.version == bindparam("version"), READABLE)
    .order_by(_B.id)
    .limit(bindparam("limit")),
    "layer_sketches.page",
)


async def sizes_after(reader: Reader, last: int, *, limit: int) -> list[tuple[int, int]]:
    """Return row ids and sizes of the next readable blobs, in the order of their row ids."""
    return [(row[0], row[1]) for row in await reader.all(_SIZES, last=last, limit=limit)]


async def waiting(reader: Reader, *, last: int, least: int, version: int, limit: int) -> list[Layer]:
    """Return the next readable blobs of at least so many bytes that have no sketch of a version, or none that tells."""
    rows = await reader.all(_WAITING, last=last, least=least, version=version, limit=limit)
    return [Layer(id=row[0], digest=row[1], size=row[2], key=row[3]) for row in rows]


async def put(tx: Transaction, version: int, sketches: Sequence[Sketch]) -> None:
    """Keep sketches, of those blobs that are still there."""
    now = clock.now()
    for one in sketches:
        await tx.execute(
            _PUT,
            blob=one.blob_id,
            version=version,
            outcome=one.outcome,
            expanded=one.expanded_bytes,
            chunks=one.chunks,
            sketch=one.sketch,
            now=now,
        )


async def page(reader: Reader, *, last: int, least: int, version: int, limit: int) -> list[SketchedLayer]:
    """Return the next blobs of at least so many bytes with their sketches, in the order of their row ids."""
    rows = await reader.all(_PAGE, last=last, least=least, version=version, limit=limit)
    return [SketchedLayer(id=row[0], digest=row[1], size=row[2], outcome=row[3], sketch=bytes(row[4])) for row in rows]
