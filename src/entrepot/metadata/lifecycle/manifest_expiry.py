"""How long the tags of images last that say so themselves, as rows; each manifest is looked at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, select, update

from entrepot.metadata import settings
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, manifest_blobs, manifest_expiry, manifests


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest that nobody has looked at, and where its configuration is, if it has one."""

    id: int
    annotations: Mapping[str, Any]
    config: str | None
    config_size: int
    config_key: str


@dataclass(frozen=True, slots=True)
class Expiring:
    """A manifest some of whose tags may have lasted long enough."""

    manifest_id: int
    seconds: int
    repository_id: int
    digest: str
    pushed_at: int


_E, _M = manifest_expiry.c, manifests.c
#: The row id of the last manifest that was looked at.
_LOOKED: Final = "expiry-looked"
_NEWER: Final = Query(
    select(_M.id, _M.annotations, blobs.c.digest, blobs.c.size, blobs.c.storage_key)
    .select_from(manifests)
    .outerjoin(
        manifest_blobs,
        and_(
            manifest_blobs.c.manifest_id == _M.id,
            manifest_blobs.c.role == "config",
            manifest_blobs.c.manifest_id > bindparam("last"),  # else PostgreSQL may read those of all before, too
        ),
    )
    .outerjoin(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(_M.id > bindparam("last"))
    .order_by(_M.id)
    .limit(bindparam("limit")),
    "manifest_expiry.newer",
)
_PUT: Final = Query(
    lambda d: (
        d.insert(manifest_expiry)
        .from_select(
            ["manifest_id", "seconds", "due_at"],
            select(_M.id, bindparam("seconds", type_=_E.seconds.type), bindparam("due", type_=_E.due_at.type)).where(
                _M.id == bindparam("manifest")
            ),
        )
        .on_conflict_do_nothing()
    ),
    "manifest_expiry.put",
)
_DUE: Final = Query(
    select(_E.manifest_id, _E.seconds, _M.repository_id, _M.digest, _M.created_at)
    .join(manifests, _M.id == _E.manifest_id)
    .where(_E.due_at <= bindparam("now"))
    .order_by(_E.due_at, _E.manifest_id)
    .limit(bindparam("limit")),
    "manifest_expiry.due",
)
_POSTPONE: Final = Query(
    update(manifest_expiry).where(_E.manifest_id == bindparam("manifest")).values(due_at=bindparam("to")),
    "manifest_expiry.postpone",
)


async def looked_until(reader: Reader) -> int:
    """Return the row id of the last manifest that was looked at."""
    return int(await settings.find(reader, _LOOKED) or 0)


async def newer(reader: Reader, last: int, *, limit: int) -> list[NewManifest]:
    """Return manifests behind one, in the order of their row ids."""
    rows = await reader.all(_NEWER, last=last, limit=limit)
    return [NewManifest(row[0], json.loads(row[1] or "{}"), row[2], row[3] or 0, row[4] or "") for row in rows]


async def note(tx: Transaction, found: Mapping[int, int], *, due_at: int, looked: int) -> None:
    """Write down how many seconds the tags of manifests last, and up to where was looked."""
    await tx.many(_PUT, [{"manifest": row_id, "seconds": found[row_id], "due": due_at} for row_id in sorted(found)])
    await settings.put(tx, _LOOKED, str(looked))


async def due(reader: Reader, *, now: int, limit: int) -> list[Expiring]:
    """Return manifests whose tags are to be looked at, the longest due first."""
    return [Expiring(*row) for row in await reader.all(_DUE, now=now, limit=limit)]


async def postpone(tx: Transaction, times: Sequence[tuple[int, int]]) -> None:
    """Say when to look at the tags of manifests again."""
    await tx.many(_POSTPONE, [{"manifest": row_id, "to": at} for row_id, at in times])
