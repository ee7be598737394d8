"""Referrers: what a list of them says of manifests, within a bound of bytes.

A manifest may consist of annotations, all of which the list repeats; so sizes are asked first, and no more manifests
are read than an answer has room for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select

from entrepot.metadata.database import Reader, Row
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifests, repositories


@dataclass(frozen=True, slots=True)
class ReferrerRow:
    """What a list of referrers says of one manifest."""

    digest: str
    media_type: str
    size: int
    artifact_type: str | None
    annotations: dict[str, str]


_M = manifests.c
_COLUMNS = (_M.digest, _M.media_type, _M.size, _M.artifact_type, _M.annotations)


def _of_subject(*columns: ColumnElement[Any]) -> Select[Any]:
    repository = select(repositories.c.id).where(repositories.c.name == bindparam("repository")).scalar_subquery()
    return (
        select(*columns)
        .where(
            _M.repository_id == repository,  # looked up first, so that an index gives the order
            _M.subject == bindparam("subject"),
            _M.digest > bindparam("last"),
        )
        .order_by(_M.digest)
        .limit(bindparam("limit"))
    )


_OF_TYPE = _M.artifact_type == bindparam("artifact_type")
_ALL = Query(_of_subject(*_COLUMNS), "referrers.page")
_ALL_OF_TYPE = Query(_of_subject(*_COLUMNS).where(_OF_TYPE), "referrers.page_of_type")
_SIZES_OF_ALL = Query(_of_subject(_M.size), "referrers.sizes")
_SIZES_OF_TYPE = Query(_of_subject(_M.size).where(_OF_TYPE), "referrers.sizes_of_type")
_REFERRING = Query(
    select(_M.digest).where(
        _M.repository_id == bindparam("repository_id"),
        _M.subject == bindparam("subject"),
        in_list(_M.digest, "digests"),
    ),
    "referrers.referring",
)
_SIZES = Query(
    select(_M.digest, _M.size)
    .where(_M.repository_id == bindparam("repository_id"), in_list(_M.digest, "digests"))
    .order_by(_M.digest),
    "referrers.described_sizes",
)
_DESCRIBED = Query(
    select(*_COLUMNS)
    .where(_M.repository_id == bindparam("repository_id"), in_list(_M.digest, "digests"))
    .order_by(_M.digest),
    "referrers.described",
)


def _record(row: Row) -> ReferrerRow:
    return ReferrerRow(row[0], row[1], row[2], row[3], json.loads(row[4]) if row[4] else {})


async def page(
    reader: Reader, repository: str, subject: str, *, artifact_type: str | None, limit: int, last: str, most_bytes: int
) -> tuple[list[ReferrerRow], bool]:
    """Return manifests whose subject is `subject`, ordered by digest after `last`, and whether more follow.

    Up to `limit` of them, and no more than have `most_bytes` together, but one at least.
    """
    wanted = {"repository": repository, "subject": subject, "last": last}
    if artifact_type is not None:
        wanted["artifact_type"] = artifact_type
    sizes_query, query = (_SIZES_OF_ALL, _ALL) if artifact_type is None else (_SIZES_OF_TYPE, _ALL_OF_TYPE)
    sizes = [row[0] for row in await reader.all(sizes_query, limit=limit + 1, **wanted)]
    kept = max(_fitting(sizes[:limit], most_bytes), min(len(sizes), 1))
    rows = await reader.all(query, limit=kept, **wanted) if kept else []
    return [_record(row) for row in rows], len(sizes) > kept


async def referring(reader: Reader, repository_id: int, subject: str, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are manifests of a repository with this subject."""
    rows = await reader.all(_REFERRING, repository_id=repository_id, subject=subject, digests=list(digests))
    return {row[0] for row in rows}


async def described(
    reader: Reader, repository_id: int, digests: Sequence[str], *, most_bytes: int
) -> list[ReferrerRow]:
    """Return those of `digests` that are manifests of a repository, as a list of referrers would show them.

    No more of them than have `most_bytes` together.
    """
    found = await reader.all(_SIZES, repository_id=repository_id, digests=list(digests))
    kept = [row[0] for row in found[: _fitting([row[1] for row in found], most_bytes)]]
    rows = await reader.all(_DESCRIBED, repository_id=repository_id, digests=kept) if kept else []
    return [_record(row) for row in rows]


def _fitting(sizes: Sequence[int], most: int) -> int:
    """Count how many of the first sizes stay within `most` together."""
    return sum(total <= most for total in accumulate(sizes))
