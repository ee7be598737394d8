"""In how many other places the same manifest is."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query
from entrepot.metadata.tables import manifests

#: Copies are counted up to here.
MOST: Final = 1_000
_FEW: Final = select(manifests.c.id).where(manifests.c.digest == bindparam("digest")).limit(MOST).subquery()
_COUNT: Final = Query(select(func.count()).select_from(_FEW), "copies.count")


async def count(reader: Reader, digest: str) -> int:
    """Count the repositories, and trashes of repositories, that have a manifest, up to `MOST`."""
    row = await reader.one(_COUNT, digest=digest)
    return 0 if row is None else int(row[0])
