"""Where things lie in the trash, and where they come back to."""

from __future__ import annotations

from entrepot.access.faults import PreconditionFailed
from entrepot.lifecycle.trash.quota import Quota
from entrepot.metadata import emptying, projects, repositories, trash
from entrepot.metadata.database import Transaction
from entrepot.metadata.repositories import RepositoryRecord
from entrepot.oci.reference import RepositoryName


async def drop_if_empty(tx: Transaction, place_id: int) -> None:
    """Remove a shadow in which nothing is left, and that no entry names."""
    if await repositories.lock(tx, place_id) is None or await emptying.has_manifests(tx, place_id):
        return
    if not await trash.of_place(tx, place_id, limit=1):
        await emptying.remove(tx, place_id)


async def target(tx: Transaction, name: str, quota: Quota) -> RepositoryRecord:
    """Return the repository that something comes back to, made where it is missing.

    Raises:
        Denied: The project may have no more repositories.
        PreconditionFailed: Its project is not there.
    """
    found = await repositories.find_exact(tx, name)
    if found is not None:
        return found
    project = RepositoryName(name).project
    owner = await projects.find(tx, project)
    if owner is None:
        raise PreconditionFailed(f"the project {project} is not there: restore it first, or make it anew")
    await repositories.create(tx, name, owner.id)
    await quota.require_repository(tx, owner.id)
    created = await repositories.find_exact(tx, name)
    assert created is not None
    return created
