"""The artifact that a path names by tag or digest, once the caller may do something with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path

from entrepot.access.permissions import Permission
from entrepot.projects.contents.model import Artifact, With
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.lookups.repository_lookup import ProjectName, RepositoryIn, RepositoryPart, find_repository
from entrepot.web.api.paths import with_slashes

Reference = Annotated[str, Path(max_length=255, description="A tag or a digest.", examples=["latest"])]
TagName = Annotated[str, Path(max_length=128, description="Name of a tag.", examples=["latest"])]
_NOTHING = With(tags=False, labels=False, accessories=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactIn:
    """An artifact in its repository."""

    repository: RepositoryIn
    artifact: Artifact
    name: str  #: what the API calls the repository

    @property
    def id(self) -> int:
        """The artifact's number."""
        return self.artifact.record.id


def artifact_where(permission: Permission) -> Callable[..., Awaitable[ArtifactIn]]:
    """Return a dependency: the artifact of a path, in whose repository the caller must have a permission."""

    async def read(
        caller: CallerOf,
        services: ServicesOf,
        project_name: ProjectName,
        repository_name: RepositoryPart,
        reference: Reference,
    ) -> ArtifactIn:
        repository = await find_repository(caller, services, permission, project_name, with_slashes(repository_name))
        artifact = await services.contents.artifacts.get(repository.record, reference, _NOTHING)
        name = await services.contents.names.called(repository.record.name)
        return ArtifactIn(repository=repository, artifact=artifact, name=name)

    return read
