"""The blobs that manifests refer to, each once for each manifest, with their sizes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifest_blobs, manifest_children

_STEP = 500
_BLOBS = Query(
    select(manifest_blobs.c.manifest_id, blobs.c.id, blobs.c.size)
    .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(in_list(manifest_blobs.c.manifest_id, "ids")),
    "image_blobs.of_manifests",
)
_CHILDREN = Query(
    select(manifest_children.c.parent_id, manifest_children.c.child_id).where(
        in_list(manifest_children.c.parent_id, "ids"), manifest_children.c.child_id.is_not(None)
    ),
    "image_blobs.children",
)


async def of_manifests(reader: Reader, ids: Collection[int]) -> dict[int, dict[int, int]]:
    """Return for each manifest its blobs and their sizes, by row ids."""
    found: dict[int, dict[int, int]] = {}
    every = sorted(ids)
    for start in range(0, len(every), _STEP):
        for manifest, blob, size in await reader.all(_BLOBS, ids=every[start : start + _STEP]):
            found.setdefault(manifest, {})[blob] = size
    return found


async def children(reader: Reader, ids: Collection[int]) -> dict[int, set[int]]:
    """Return for each index those manifests that it lists and that are there."""
    found: dict[int, set[int]] = {}
    for parent, child in await reader.all(_CHILDREN, ids=sorted(ids)) if ids else []:
        found.setdefault(parent, set()).add(child)
    return found
