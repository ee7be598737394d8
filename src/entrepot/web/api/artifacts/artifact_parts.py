"""`…/artifacts/{reference}/tags`, `/labels` and `/accessories`: what belongs to one artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Given

from entrepot.access.permissions import Permission
from entrepot.metadata.contents.artifact_parts import TAG_FIELDS
from entrepot.metadata.filtering import Field, Kind, Selection
from entrepot.metadata.tables import manifests
from entrepot.projects.contents.model import Accessory as AccessoryView
from entrepot.web.api.artifacts.artifact_models import Accessory, Tag
from entrepot.web.api.caller import ServicesOf
from entrepot.web.api.chosen import Getters, chosen, page
from entrepot.web.api.locations import set_location_below
from entrepot.web.api.lookups.artifact_lookup import ArtifactIn, TagName, artifact_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals

_CREATE_TAG, _LIST_TAGS, _DELETE_TAG = (Permission.of("tag", action) for action in ("create", "list", "delete"))
_ADD_LABEL, _REMOVE_LABEL = Permission("artifact-label:create"), Permission("artifact-label:delete")
_LIST_ACCESSORIES = Permission("accessory:list")
_ACCESSORY_FIELDS: Final[Mapping[str, Field]] = {
    "type": Field(column=manifests.c.artifact_type),
    "digest": Field(column=manifests.c.digest),
    "id": Field(column=manifests.c.id, kind=Kind.NUMBER),
    "size": Field(column=manifests.c.size, kind=Kind.NUMBER),
    "creation_time": Field(column=manifests.c.created_at, kind=Kind.TIME),
}
_OF_ACCESSORY: Final[Getters[AccessoryView]] = {
    "type": lambda accessory: accessory.kind,
    "digest": lambda accessory: accessory.record.digest,
    "id": lambda accessory: accessory.record.id,
    "size": lambda accessory: accessory.size,
    "creation_time": lambda accessory: accessory.record.created_at,
}
_LabelId = Annotated[int, Path(ge=1, lt=2**63, description="The label's number.", examples=[3])]


class NewTag(BaseModel):
    """A tag to be added; other fields of a tag are not for the caller to say."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"name": "v1.2"}})

    name: Annotated[str, Given(min_length=1, max_length=128)]


class LabelToAdd(BaseModel):
    """The label to add: its number counts, Harbor's clients send the whole label."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"id": 3}})

    id: Annotated[int, Given(ge=1, lt=2**63)]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["artifact"])
    add = routes.add_api_route
    one = "/projects/{project_name}/repositories/{repository_name}/artifacts/{reference}"
    add(f"{one}/tags", list_tags, methods=["GET"], responses=PAGED, operation_id="listTags")
    add(
        f"{one}/tags",
        create_tag,
        methods=["POST"],
        status_code=201,
        responses=refusals(405, 409),
        operation_id="createTag",
    )
    add(f"{one}/tags/{{tag_name}}", delete_tag, methods=["DELETE"], responses=refusals(405), operation_id="deleteTag")
    add(f"{one}/labels", add_label, methods=["POST"], responses=refusals(409), operation_id="addLabel")
    add(f"{one}/labels/{{label_id}}", remove_label, methods=["DELETE"], operation_id="removeLabel")
    add(f"{one}/accessories", list_accessories, methods=["GET"], responses=PAGED, operation_id="listAccessories")
    return routes


async def list_tags(
    request: Request,
    response: Response,
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_LIST_TAGS))],
    wanted: Annotated[Selection, Depends(selection(TAG_FIELDS))],
) -> list[Tag]:
    """List the tags of an artifact, the newest first."""
    record = artifact.artifact.record
    found, immutable = await services.contents.artifacts.tags(record, wanted)
    describe(request, response, wanted, found.total)
    return [Tag.of(tag, record.pulled_at, immutable) for tag in found.items]


async def create_tag(
    request: Request,
    body: NewTag,
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_CREATE_TAG))],
) -> Response:
    """Give an artifact one more tag."""
    await services.contents.changes.add_tag(artifact.artifact.record, body.name, by=artifact.repository.actor)
    response = Response(status_code=201)
    set_location_below(response, request, body.name)
    return response


async def delete_tag(
    tag_name: TagName,
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_DELETE_TAG))],
) -> None:
    """Take a tag off an artifact, which stays."""
    await services.contents.changes.delete_tag(artifact.artifact.record, tag_name, by=artifact.repository.actor)


async def add_label(
    body: LabelToAdd, services: ServicesOf, artifact: Annotated[ArtifactIn, Depends(artifact_where(_ADD_LABEL))]
) -> None:
    """Put a label on an artifact: one of its project's, or one for all projects."""
    source = artifact.repository.caller.source
    await services.contents.changes.add_label(artifact.artifact.record, body.id, by=source)


async def remove_label(
    label_id: _LabelId,
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_REMOVE_LABEL))],
) -> None:
    """Take a label off an artifact."""
    source = artifact.repository.caller.source
    await services.contents.changes.remove_label(artifact.artifact.record, label_id, by=source)


async def list_accessories(
    request: Request,
    response: Response,
    services: ServicesOf,
    artifact: Annotated[ArtifactIn, Depends(artifact_where(_LIST_ACCESSORIES))],
    wanted: Annotated[Selection, Depends(selection(_ACCESSORY_FIELDS))],
) -> list[Accessory]:
    """List what refers to an artifact: signatures, SBOMs and whatever else."""
    found = await services.contents.artifacts.accessories(artifact.id)
    fitting = chosen(found, wanted, _OF_ACCESSORY)
    describe(request, response, wanted, len(fitting))
    return [Accessory.of(each) for each in page(fitting, wanted)]
