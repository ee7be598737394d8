"""Which repositories of a project use most of it: told to people whose push has no room."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query
from entrepot.metadata.tables import analysis_parts, blobs, manifest_blobs, manifests, repositories
from entrepot.metadata.trash_namespaces import listed
from entrepot.metadata.usage import analyses, usage
from entrepot.metadata.usage.analyses import REPOSITORY

#: Manifests of a project up to which they are looked through; beyond, the last analysis is asked.
FEW: Final = 2_000

_PARTS = (
    select(repositories.c.name, blobs.c.id, blobs.c.size)
    .select_from(
        repositories.join(manifests, manifests.c.repository_id == repositories.c.id)
        .join(manifest_blobs, manifest_blobs.c.manifest_id == manifests.c.id)
        .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    )
    .where(repositories.c.project_id == bindparam("project"), listed(repositories.c.sort_key))
    .distinct()
    .subquery()
)
_NOW = Query(
    select(_PARTS.c.name, func.sum(_PARTS.c.size).label("bytes"))
    .group_by(_PARTS.c.name)
    .order_by(func.sum(_PARTS.c.size).desc(), _PARTS.c.name)
    .limit(bindparam("limit")),
    "largest_repositories.now",
)
_ANALYSED = Query(
    select(repositories.c.name, analysis_parts.c.stored_bytes)
    .join(repositories, repositories.c.id == analysis_parts.c.subject_id)
    .where(
        analysis_parts.c.analysis_id == bindparam("analysis"),
        analysis_parts.c.kind == REPOSITORY,
        analysis_parts.c.project_id == bindparam("project"),
        listed(repositories.c.sort_key),
    )
    .order_by(analysis_parts.c.stored_bytes.desc())
    .limit(bindparam("limit")),
    "largest_repositories.analysed",
)


async def of_project(reader: Reader, project_id: int, *, limit: int) -> list[tuple[str, int]]:
    """Return the names of a project's largest repositories and the bytes that their blobs have, each once.

    What is asked costs the same however much there is: a large project is told by the last analysis, or not at all.

    Raises:
        TookTooLong: It took too long.
    """
    counts = (await usage.find(reader, project_id)).counts
    if counts.manifests <= FEW:
        rows = await patient(reader).all(_NOW, project=project_id, limit=limit)
    elif (last := await analyses.last_finished(reader)) is not None:
        rows = await reader.all(_ANALYSED, project=project_id, analysis=last.id, limit=limit)
    else:
        return []
    return [(row[0], int(row[1])) for row in rows]
