"""Where things lie in the trash, and where they come back to."""

from __future__ import annotations

from entrepot.access.faults import PreconditionFailed
from entrepot.lifecycle.trash.quota import Quota
from entrepot.metadata.contents import projects, repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import repository_removal, trash
from entrepot.oci.reference import RepositoryName


async def drop_if_empty(tx: Transaction, place_id: int) -> None:
    """Remove a shadow in which nothing is left, and that no entry names."""
    if await repositories.lock(tx, place_id) is None or await repository_removal.has_manifests(tx, place_id):
        return
    if not await trash.of_place(tx, place_id, limit=1):
        await repository_removal.remove(tx, place_id)


async def target(tx: Transaction, name: str, project_id: int, quota: Quota) -> RepositoryRecord:
    """Return the repository that something comes back to, made where it is missing.

    Raises:
        Denied: The project may have no more repositories.
        PreconditionFailed: Its project is not there, or another one than was said has its name now.
    """
    found = await repositories.find_exact(tx, name)
    if found is None:
        await _require_project(tx, RepositoryName(name).project, project_id)
        await repositories.create(tx, name, project_id)
        await quota.require_repository(tx, project_id)
        found = await repositories.find_exact(tx, name)
        assert found is not None
    if found.project_id != project_id:
        raise _another(RepositoryName(name).project)
    return found


async def _require_project(tx: Transaction, name: str, project_id: int) -> None:
    owner = await projects.hold(tx, name)
    if owner is None:
        raise PreconditionFailed(f"the project {name} is not there: restore it first, or make it anew")
    if owner.id != project_id:
        raise _another(name)


def _another(project: str) -> PreconditionFailed:
    return PreconditionFailed(f"the project {project} is another one now, whose trash this did not lie in")
