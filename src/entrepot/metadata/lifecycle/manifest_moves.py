"""Moving a manifest from one repository to another, with all it refers to: into the trash and out of it."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from entrepot.metadata.contents import manifests
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import manifest_blobs, manifest_children
from entrepot.metadata.tables import manifests as manifest_rows
from entrepot.metadata.usage import charges

_M = manifest_rows.c
_CHILDREN = manifest_children.c
_MOVE = Query(
    update(manifest_rows).where(_M.id == bindparam("manifest")).values(repository_id=bindparam("target")),
    "manifest_moves.move",
)
_MOVE_BLOBS = Query(
    update(manifest_blobs)
    .where(manifest_blobs.c.manifest_id == bindparam("manifest"))
    .values(repository_id=bindparam("target")),
    "manifest_moves.move_blobs",
)
#: An index lists what its own repository has.
_RECONNECT = Query(
    update(manifest_children)
    .where(_CHILDREN.parent_id == bindparam("manifest"))
    .values(
        child_id=select(_M.id)
        .where(_M.repository_id == bindparam("target"), _M.digest == _CHILDREN.digest)
        .correlate(manifest_children)
        .scalar_subquery()
    ),
    "manifest_moves.reconnect",
)
_DISCONNECT = Query(
    update(manifest_children).where(_CHILDREN.child_id == bindparam("manifest")).values(child_id=None),
    "manifest_moves.disconnect",
)


async def move(tx: Transaction, manifest: ManifestRow, source: RepositoryRecord, target: RepositoryRecord) -> None:
    """Move a manifest to a repository that does not have it; its tags and the hold on its blobs do not move.

    Indexes that listed it in the source list something missing from then on, and those that missed it in the target
    have it.
    """
    if source.project_id != target.project_id:
        ids = await manifests.blob_ids(tx, manifest.id)
        charged = charges.Charged(id=manifest.id, digest=manifest.digest, size=manifest.size)
        await charges.discharge(tx, source.project_id, ids, manifest=charged)
        await charges.charge(tx, target.project_id, ids, manifest=charged)
    await tx.execute(_DISCONNECT, manifest=manifest.id)
    await tx.execute(_MOVE, manifest=manifest.id, target=target.id)
    await tx.execute(_MOVE_BLOBS, manifest=manifest.id, target=target.id)
    await tx.execute(_RECONNECT, manifest=manifest.id, target=target.id)
    await manifests.connect_parents(tx, target.id, manifest.digest, manifest.id)


async def drop(tx: Transaction, manifest: ManifestRow, repository: RepositoryRecord) -> None:
    """Remove a manifest from a repository while another repository has it too: no bytes lose anything by it."""
    ids = await manifests.blob_ids(tx, manifest.id)
    await manifests.remove(tx, manifest)
    charged = charges.Charged(id=manifest.id, digest=manifest.digest, size=manifest.size)
    await charges.discharge(tx, repository.project_id, ids, manifest=charged)
