"""Sums of what projects use, where something other than a push or a deletion changes what they are made of.

Sizes that were wrong are corrected, references put right; `charges` counts what people do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import sub
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import (
    blobs,
    manifests,
    project_blobs,
    project_reservations,
    project_usage,
    projects,
    repositories,
)
from entrepot.metadata.usage import usage
from entrepot.metadata.usage.usage import Counts

_U = project_usage.c
_NAMES: Final = tuple(field.name for field in fields(Counts))


def _added_up() -> tuple[Any, ...]:
    """Add up each sum of a project from nothing, in the order of `Counts`."""
    its_blobs = project_blobs.join(blobs, blobs.c.id == project_blobs.c.blob_id)
    its_manifests = repositories.join(manifests, manifests.c.repository_id == repositories.c.id)
    size = blobs.c.size
    once, full = [
        select(func.coalesce(func.sum(bytes_of), 0))
        .select_from(its_blobs)
        .where(project_blobs.c.project_id == projects.c.id)
        .scalar_subquery()
        for bytes_of in (size, size * project_blobs.c.references)
    ]
    of_project = repositories.c.project_id == bindparam("project")
    same = (
        select(func.max(manifests.c.size).label("size"))
        .select_from(its_manifests)
        .where(of_project)
        .group_by(manifests.c.digest)
        .subquery("same")
    )
    different = select(func.coalesce(func.sum(same.c.size), 0)).scalar_subquery()
    every, count = [
        select(total).select_from(its_manifests).where(of_project).scalar_subquery()
        for total in (func.coalesce(func.sum(manifests.c.size), 0), func.count())
    ]
    reserved = select(func.coalesce(func.sum(project_reservations.c.size), 0)).where(
        project_reservations.c.project_id == projects.c.id
    )
    return once, full + every - different, different, count, reserved.scalar_subquery()


#: What is counted and what there is, both of one moment, so that pushes beside it are no mistakes.
_COMPARED = Query(
    select(projects.c.id, projects.c.name, *(func.coalesce(_U[name], 0) for name in _NAMES), *_added_up())
    .select_from(projects.outerjoin(project_usage, _U.project_id == projects.c.id))
    .where(projects.c.id == bindparam("project")),
    "usage_recount.compared",
)
_IDS = Query(
    select(projects.c.id).where(projects.c.id > bindparam("last")).order_by(projects.c.id).limit(bindparam("limit")),
    "usage_recount.ids",
)
_USERS = Query(
    select(project_blobs.c.project_id, project_blobs.c.references)
    .where(project_blobs.c.blob_id == bindparam("blob"))
    .order_by(project_blobs.c.project_id),
    "usage_recount.users",
)


@dataclass(frozen=True, slots=True)
class WrongSum:
    """A project whose sums are not what adding up gives."""

    project_id: int
    project: str
    by: Counts  #: what is missing from the sums


async def projects_after(reader: Reader, last: int, limit: int) -> list[int]:
    """Return the row ids of up to `limit` projects behind one, those in the trash among them."""
    return [row[0] for row in await reader.all(_IDS, last=last, limit=limit)]


async def wrong_sum(reader: Reader, project_id: int) -> WrongSum | None:
    """Hold the sums of a project against what there is; None where they agree, or it is gone."""
    row = await reader.one(_COMPARED, project=project_id)
    if row is None:
        return None
    by = _counts(map(sub, row[2 + len(_NAMES) :], row[2 : 2 + len(_NAMES)]))
    return None if by == Counts() else WrongSum(row[0], row[1], by)


def _counts(values: Iterable[int]) -> Counts:
    return Counts(**dict(zip(_NAMES, map(int, values), strict=True)))


async def settle(tx: Transaction, project_id: int) -> WrongSum | None:
    """Put the sums of a project right; return what was wrong with them."""
    await usage.change(tx, project_id, Counts())  # nobody else changes them from here on
    wrong = await wrong_sum(tx, project_id)
    if wrong is not None:
        await usage.change(tx, project_id, wrong.by)
    return wrong


async def resized(tx: Transaction, blob_id: int, more: int) -> None:
    """Let the sums follow a blob that has so many bytes more than was thought."""
    if more:
        for project_id, references in await tx.all(_USERS, blob=blob_id):
            await usage.change(tx, project_id, Counts(blob_bytes=more, full_bytes=more * references))
