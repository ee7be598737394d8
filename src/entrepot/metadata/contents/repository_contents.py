"""Everything one repository holds, for whoever compares or writes out the whole of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from entrepot.metadata.contents.blobs import DELETING
from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, manifests, repositories, repository_blobs, tags


@dataclass(frozen=True, slots=True)
class RepositoryContents:
    """Tags by name with their digest, manifests by digest, blobs by digest with their storage key."""

    tags: dict[str, str]
    manifests: frozenset[str]
    blobs: dict[str, str]


_TAGS = Query(
    select(tags.c.name, manifests.c.digest)
    .select_from(repositories)
    .join(tags, tags.c.repository_id == repositories.c.id)
    .join(manifests, manifests.c.id == tags.c.manifest_id)
    .where(repositories.c.name == bindparam("repository")),
    "repository_contents.tags",
)
_MANIFESTS = Query(
    select(manifests.c.digest)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(repositories.c.name == bindparam("repository")),
    "repository_contents.manifests",
)
_BLOBS = Query(
    select(blobs.c.digest, blobs.c.storage_key)
    .select_from(repositories)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
    .where(
        repositories.c.name == bindparam("repository"),
        repository_blobs.c.lapses_at.is_(None),
        blobs.c.state != DELETING,
    ),
    "repository_contents.blobs",
)


async def read(reader: Reader, repository: str) -> RepositoryContents:
    """Read all of a repository, by its exact name."""
    return RepositoryContents(
        tags={row[0]: row[1] for row in await reader.all(_TAGS, repository=repository)},
        manifests=frozenset(row[0] for row in await reader.all(_MANIFESTS, repository=repository)),
        blobs={row[0]: row[1] for row in await reader.all(_BLOBS, repository=repository)},
    )
