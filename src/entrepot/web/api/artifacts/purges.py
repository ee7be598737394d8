"""`…/purge`: artifacts, repositories and projects removed for good, past trash and history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from entrepot.access.permissions import Permission
from entrepot.lifecycle.trash.purge import Purger
from entrepot.web.api.artifacts.trash_models import Purged, PurgeRequest
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.lookups.artifact_lookup import ArtifactIn, artifact_where
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.lookups.repository_lookup import RepositoryIn, actor_of, repository_where
from entrepot.web.api.refusals import refusals

_PURGE = Permission("trash:purge")


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["trash"])
    add = routes.add_api_route
    project = "/projects/{project_name_or_id}/purge"
    repository = "/projects/{project_name}/repositories/{repository_name}"
    artifact = f"{repository}/artifacts/{{reference}}/purge"
    refused = refusals(405, 412)
    add(project, purge_project, methods=["POST"], responses=refused, operation_id="purgeProject")
    add(f"{repository}/purge", purge_repository, methods=["POST"], responses=refused, operation_id="purgeRepository")
    add(artifact, purge_artifact, methods=["POST"], responses=refused, operation_id="purgeArtifact")
    return routes


async def purge_project(
    body: PurgeRequest,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_PURGE))],
) -> None:
    """Remove a project for good, with its repositories and its trash."""
    by = Purger(actor=actor_of(caller), reason=body.reason)
    await services.lifecycle.trash.purging.project(project, by=by)


async def purge_repository(
    body: PurgeRequest,
    services: ServicesOf,
    repository: Annotated[RepositoryIn, Depends(repository_where(_PURGE))],
) -> None:
    """Remove a repository for good, with all that was deleted from it."""
    by = Purger(actor=repository.actor, reason=body.reason)
    await services.lifecycle.trash.purging.repository(repository.record, by=by)


async def purge_artifact(
    body: PurgeRequest, services: ServicesOf, artifact: Annotated[ArtifactIn, Depends(artifact_where(_PURGE))]
) -> Purged:
    """Remove an artifact for good, with its tags, what only it lists and what refers to it."""
    by = Purger(actor=artifact.repository.actor, reason=body.reason)
    digest = artifact.artifact.record.digest
    return Purged.of(await services.lifecycle.trash.purging.artifact(artifact.repository.record, digest, by=by))
