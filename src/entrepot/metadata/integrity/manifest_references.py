"""What rows say that manifests refer to, for whoever holds that against the manifests themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from entrepot.metadata.contents import repositories as repository_rows
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifest_blobs, manifest_children, manifests, repositories
from entrepot.metadata.usage import usage
from entrepot.metadata.usage.usage import Counts


@dataclass(frozen=True, slots=True)
class NamedManifest:
    """A manifest of a repository."""

    id: int
    repository_id: int
    repository: str
    digest: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A blob that a manifest refers to, as its role there."""

    role: str
    digest: str
    blob_id: int
    state: str


@dataclass(frozen=True, slots=True)
class ChildReference:
    """An entry of an index, joined to a manifest of its repository where that is there."""

    digest: str
    child_id: int | None


_PAGE = Query(
    select(
        manifests.c.id,
        manifests.c.repository_id,
        repositories.c.name,
        manifests.c.digest,
        manifests.c.media_type,
        manifests.c.size,
    )
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(manifests.c.id > bindparam("last"))
    .order_by(manifests.c.id)
    .limit(bindparam("limit")),
    "manifest_references.page",
)
_BLOBS = Query(
    select(manifest_blobs.c.manifest_id, manifest_blobs.c.role, blobs.c.digest, manifest_blobs.c.blob_id, blobs.c.state)
    .join(blobs, blobs.c.id == manifest_blobs.c.blob_id)
    .where(in_list(manifest_blobs.c.manifest_id, "ids"))
    .order_by(manifest_blobs.c.manifest_id, manifest_blobs.c.position),
    "manifest_references.blobs",
)
_CHILDREN = Query(
    select(manifest_children.c.parent_id, manifest_children.c.digest, manifest_children.c.child_id)
    .where(in_list(manifest_children.c.parent_id, "ids"))
    .order_by(manifest_children.c.parent_id, manifest_children.c.position),
    "manifest_references.children",
)
_PRESENT = Query(
    select(manifests.c.digest, manifests.c.id).where(
        manifests.c.repository_id == bindparam("repository_id"), in_list(manifests.c.digest, "digests")
    ),
    "manifest_references.present",
)
_BLOB_IDS = Query(
    select(blobs.c.digest, blobs.c.id).where(in_list(blobs.c.digest, "digests")), "manifest_references.blob_ids"
)
_RESIZE = Query(
    update(manifests)
    .where(manifests.c.id == bindparam("manifest_id"), manifests.c.size == bindparam("was"))
    .values(size=bindparam("actual")),
    "manifest_references.resize",
)


async def page(reader: Reader, *, after: int, limit: int) -> list[NamedManifest]:
    """Return up to `limit` manifests whose row id is above `after`, in the order of their ids."""
    return [NamedManifest(*row) for row in await reader.all(_PAGE, last=after, limit=limit)]


async def of_blobs(reader: Reader, manifest_ids: Sequence[int]) -> dict[int, list[BlobReference]]:
    """Return the blobs that manifests refer to, in their order."""
    found: dict[int, list[BlobReference]] = {row_id: [] for row_id in manifest_ids}
    for manifest_id, *reference in await reader.all(_BLOBS, ids=list(manifest_ids)):
        found[manifest_id].append(BlobReference(*reference))
    return found


async def of_children(reader: Reader, manifest_ids: Sequence[int]) -> dict[int, list[ChildReference]]:
    """Return the entries of indexes, in their order."""
    found: dict[int, list[ChildReference]] = {row_id: [] for row_id in manifest_ids}
    for manifest_id, *reference in await reader.all(_CHILDREN, ids=list(manifest_ids)):
        found[manifest_id].append(ChildReference(*reference))
    return found


async def present(reader: Reader, repository_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Return the row ids of those of `digests` that are manifests of a repository, without locking them."""
    rows = await reader.all(_PRESENT, repository_id=repository_id, digests=list(digests)) if digests else []
    return {row[0]: row[1] for row in rows}


async def blob_ids(reader: Reader, digests: Sequence[str]) -> dict[str, int]:
    """Return the row ids of those of `digests` that are blobs, in whatever state."""
    return {row[0]: row[1] for row in await reader.all(_BLOB_IDS, digests=list(digests))} if digests else {}


async def resize(tx: Transaction, manifest: NamedManifest, size: int) -> None:
    """Correct the size of a manifest, unless somebody did."""
    if await tx.execute(_RESIZE, manifest_id=manifest.id, was=manifest.size, actual=size):
        repository = await repository_rows.find_by_id(tx, manifest.repository_id)
        assert repository is not None
        await usage.change(tx, repository.project_id, Counts(manifest_bytes=size - manifest.size))
