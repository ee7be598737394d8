"""What a project would use less if its trash were emptied."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, case, exists, func, select

from entrepot.metadata.database import Reader
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, manifest_blobs, manifests, project_blobs, repositories
from entrepot.metadata.trash_namespaces import listed
from entrepot.metadata.usage.usage import Counts

_IN_TRASH = (
    repositories.c.project_id == bindparam("project"),
    ~listed(repositories.c.sort_key),
)
_HELD = (
    select(manifest_blobs.c.blob_id, func.count(manifest_blobs.c.manifest_id.distinct()).label("times"))
    .select_from(
        repositories.join(manifests, manifests.c.repository_id == repositories.c.id).join(
            manifest_blobs, manifest_blobs.c.manifest_id == manifests.c.id
        )
    )
    .where(*_IN_TRASH)
    .group_by(manifest_blobs.c.blob_id)
    .subquery()
)
_ALONE = case((_HELD.c.times >= project_blobs.c.references, blobs.c.size), else_=0)
_BLOBS: Final = Query(
    select(func.coalesce(func.sum(_ALONE), 0), func.coalesce(func.sum(blobs.c.size * _HELD.c.times), 0))
    .select_from(
        _HELD.join(project_blobs, project_blobs.c.blob_id == _HELD.c.blob_id).join(blobs, blobs.c.id == _HELD.c.blob_id)
    )
    .where(project_blobs.c.project_id == bindparam("project")),
    "trash_usage.blobs",
)
#: The copies of each manifest; a manifest that a repository still has is charged for that one.
_COPIES = (
    select(manifests.c.digest, func.max(manifests.c.size).label("size"), func.count().label("times"))
    .select_from(repositories.join(manifests, manifests.c.repository_id == repositories.c.id))
    .where(*_IN_TRASH)
    .group_by(manifests.c.digest)
    .subquery()
)
_PLACES, _KEPT = repositories.alias(), manifests.alias()
_IN_REPOSITORY = exists(
    select(1).where(
        _PLACES.c.id == _KEPT.c.repository_id,
        _PLACES.c.project_id == bindparam("project"),
        listed(_PLACES.c.sort_key),
    )
).correlate(_KEPT)
#: Asked by the digest, of which there are few as a rule, however many repositories the project has.
_STAYS = exists(select(1).where(_KEPT.c.digest == _COPIES.c.digest, _IN_REPOSITORY)).correlate(_COPIES)
_MANIFESTS: Final = Query(
    select(
        func.coalesce(func.sum(case((_STAYS, 0), else_=_COPIES.c.size)), 0),
        func.coalesce(func.sum(_COPIES.c.size * _COPIES.c.times), 0),
        func.coalesce(func.sum(_COPIES.c.times), 0),
    ),
    "trash_usage.manifests",
)


#: How many manifests are in the trash: of a project, or of all.
_COUNT_OF_PROJECT: Final = Query(
    select(func.count())
    .select_from(repositories.join(manifests, manifests.c.repository_id == repositories.c.id))
    .where(*_IN_TRASH),
    "trash_usage.count_of_project",
)
_COUNT: Final = Query(
    select(func.count())
    .select_from(repositories.join(manifests, manifests.c.repository_id == repositories.c.id))
    .where(~listed(repositories.c.name)),
    "trash_usage.count",
)


async def count_manifests(reader: Reader, project_id: int | None) -> int:
    """Count the manifests in the trash of a project, or of all. Reads that trash, beside the event loop.

    Raises:
        TookTooLong: There is too much to count.
    """
    asked = patient(reader)
    row = await (asked.one(_COUNT) if project_id is None else asked.one(_COUNT_OF_PROJECT, project=project_id))
    return 0 if row is None else int(row[0])


async def find(reader: Reader, project_id: int) -> Counts:
    """Add up what the trash alone adds to what a project uses. Reads all of that trash, beside the event loop.

    Raises:
        TookTooLong: There is too much to add up.
    """
    asked = patient(reader)
    blob_sums, manifest_sums = [await asked.one(query, project=project_id) for query in (_BLOBS, _MANIFESTS)]
    assert blob_sums is not None
    assert manifest_sums is not None
    alone, every, count = map(int, manifest_sums)
    return Counts(
        blob_bytes=int(blob_sums[0]),
        full_bytes=int(blob_sums[1]) + every - alone,
        manifest_bytes=alone,
        manifests=count,
    )
