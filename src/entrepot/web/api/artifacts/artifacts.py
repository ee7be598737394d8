"""`…/artifacts`: listed, seen, copied and deleted, and what can be read out of them."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from entrepot.access.faults import Invalid
from entrepot.access.model import Target
from entrepot.access.permissions import PULL, Permission
from entrepot.metadata.filtering import Selection
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import DEFAULT_PROJECT, RepositoryName, parse_reference
from entrepot.oci.reference import Reference as ImageReference
from entrepot.projects.contents.model import With
from entrepot.web.api.artifacts.artifact_models import Artifact
from entrepot.web.api.artifacts.artifact_query import FIELDS, selected, told, window
from entrepot.web.api.caller import CallerOf, ServicesOf, own_request
from entrepot.web.api.locations import set_location
from entrepot.web.api.lookups.artifact_lookup import ArtifactIn, Reference, artifact_where
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.lookups.repository_lookup import (
    ProjectName,
    RepositoryIn,
    RepositoryPart,
    actor_of,
    find_repository,
    repository_or_none,
    repository_where,
)
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.paths import with_slashes
from entrepot.web.api.refusals import refusals
from entrepot.web.distribution.authorise import count_new

_LIST, _READ, _CREATE, _DELETE = (Permission.of("artifact", action) for action in ("list", "read", "create", "delete"))
_READ_ADDITION = Permission("artifact-addition:read")
#: What additions look like.
_ADDITIONS: Final[dict[str, dict[str, Any]]] = {
    "application/json": {
        "schema": {"type": "array", "items": {"type": "object"}},
        "example": [{"created": "2026-01-02T03:04:05Z", "created_by": "COPY app /app # buildkit"}],
    },
    "text/plain": {"schema": {"type": "string"}, "example": "replicas: 3\n"},
    "text/markdown": {"schema": {"type": "string"}, "example": "# The shop\n"},
}
_Selected = Annotated[Selection, Depends(selection(FIELDS))]
_Told = Annotated[With, Depends(told)]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["artifact"])
    add = routes.add_api_route
    of_project = "/projects/{project_name_or_id}/artifacts"
    add(
        of_project,
        list_of_project,
        methods=["GET"],
        responses=PAGED,
        response_model_exclude_none=True,
        operation_id="listArtifactsOfProject",
    )
    every = "/projects/{project_name}/repositories/{repository_name}/artifacts"
    add(
        every,
        list_artifacts,
        methods=["GET"],
        responses=PAGED,
        response_model_exclude_none=True,
        operation_id="listArtifacts",
    )
    add(
        every,
        copy_artifact,
        methods=["POST"],
        status_code=201,
        responses=refusals(405, 409),
        operation_id="CopyArtifact",
    )
    one = f"{every}/{{reference}}"
    add(one, get_artifact, methods=["GET"], response_model_exclude_none=True, operation_id="getArtifact")
    add(one, delete_artifact, methods=["DELETE"], responses=refusals(405, 412), operation_id="deleteArtifact")
    add(
        f"{one}/additions/{{addition}}",
        get_addition,
        methods=["GET"],
        response_class=Response,
        responses={200: {"content": _ADDITIONS}},
        operation_id="getAddition",
    )
    return routes


async def list_of_project(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_LIST))],
    wanted: _Selected,
    with_: _Told,
    *,
    latest: Annotated[
        bool, Query(alias="latest_in_repository", description="Of each repository, the newest one that fits.")
    ] = False,
) -> list[Artifact]:
    """List the artifacts of all repositories of a project."""
    found = await services.contents.artifacts.of_project(
        project.id, selected(wanted), window(wanted), with_, latest=latest
    )
    describe(request, response, wanted, found.total)
    names = {name: await services.contents.names.called(name) for name in {a.record.repository for a in found.items}}
    return [Artifact.of(artifact, names[artifact.record.repository]) for artifact in found.items]


async def list_artifacts(
    request: Request,
    response: Response,
    services: ServicesOf,
    caller: CallerOf,
    project_name: ProjectName,
    repository_name: RepositoryPart,
    wanted: _Selected,
    with_: _Told,
) -> list[Artifact]:
    """List the artifacts of a repository, the latest push first; none where the project has no such repository.

    An entry of an index shows with a tag of its own only, unless `base=*` is asked for; what refers to another artifact
    shows as its accessory.
    """
    repository = await repository_or_none(caller, services, _LIST, project_name, with_slashes(repository_name))
    if repository is None:
        describe(request, response, wanted, 0)
        return []
    found = await services.contents.artifacts.page(repository.record, selected(wanted), window(wanted), with_)
    describe(request, response, wanted, found.total)
    name = await services.contents.names.called(repository.record.name)
    return [Artifact.of(artifact, name) for artifact in found.items]


async def get_artifact(
    services: ServicesOf,
    repository: Annotated[RepositoryIn, Depends(repository_where(_READ))],
    reference: Reference,
    with_: _Told,
) -> Artifact:
    """Return one artifact, by tag or digest."""
    artifact = await services.contents.artifacts.get(repository.record, reference, with_)
    return Artifact.of(artifact, await services.contents.names.called(repository.record.name))


async def delete_artifact(
    services: ServicesOf, artifact: Annotated[ArtifactIn, Depends(artifact_where(_DELETE))]
) -> None:
    """Delete an artifact with all its tags, also when a tag names it."""
    await services.contents.changes.delete(artifact.artifact.record, by=artifact.repository.actor)


async def get_addition(
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_READ_ADDITION))],
    addition: Annotated[str, Path(max_length=255, description="What to read.", examples=["build_history"])],
) -> Response:
    """Return what can be read out of an artifact: `build_history`, `values.yaml`, `readme.md`, `dependencies`."""
    found = await services.contents.additions.read(artifact.artifact, addition)
    return Response(found.content, media_type=found.content_type)


async def copy_artifact(
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    project_name: ProjectName,
    repository_name: RepositoryPart,
    source: Annotated[
        str,
        Query(
            alias="from",
            max_length=600,
            description="project/repository:tag or project/repository@digest",
            examples=["library/hello:latest"],
        ),
    ],
) -> Response:
    """Copy an artifact from another repository, with its tags, what it lists and what is about it; no bytes are moved.

    Of its other tags, those that the caller may read there and set here.
    """
    (from_project, from_rest), reference = _parsed(source)
    tag = None if isinstance(reference, Digest) else reference
    rest = with_slashes(repository_name)
    target = await services.contents.names.stored(project_name, rest)
    await caller.require(_CREATE, Target.of(target, tag))
    found = await find_repository(caller, services, _READ, from_project, from_rest)
    await caller.require(PULL, Target.of(RepositoryName(found.record.name), tag))
    await count_new(own_request(request), services.web, caller.principal, target)
    source_name = RepositoryName(found.record.name)

    async def may_tag(name: str) -> bool:
        may_read = await caller.may(PULL, Target.of(source_name, name))
        return may_read and await caller.may(_CREATE, Target.of(target, name))

    await services.contents.changes.copy(found.record, reference, target, by=actor_of(caller), may_tag=may_tag)
    response = Response(status_code=201)
    place = quote(quote(rest, safe=""), safe="")
    set_location(response, services, f"/projects/{project_name}/repositories/{place}/artifacts/{reference}")
    return response


def _parsed(source: str) -> tuple[tuple[str, str], ImageReference]:
    """Read `project/repository:tag` or `project/repository@digest`.

    Raises:
        Invalid: It is neither.
    """
    name, at, reference = source.partition("@") if "@" in source else source.rpartition(":")
    project, slash, rest = name.partition("/")
    try:
        parsed = parse_reference(reference)
    except (DigestInvalid, TagInvalid) as error:
        raise Invalid(f"from: {error.message}") from None
    if not at or not name:
        raise Invalid("from: write it as project/repository:tag or project/repository@digest")
    return (project, rest) if slash else (DEFAULT_PROJECT, project), parsed
