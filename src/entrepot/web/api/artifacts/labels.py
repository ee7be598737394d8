"""`/labels`: names and colours for artifacts, of one project (scope `p`) or of all (scope `g`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.model import SYSTEM_TARGET, Target
from entrepot.access.permissions import Permission
from entrepot.metadata.contents import labels as rows
from entrepot.metadata.contents.labels import LabelRecord
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.projects.labels import LabelText
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.conditions import Expected, set_etag
from entrepot.web.api.locations import set_location
from entrepot.web.api.lookups.project_lookup import find_project
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices
from entrepot.web.api.values import moment

GLOBAL = "g"
OF_PROJECT = "p"
_LIST, _READ, _CREATE, _UPDATE, _DELETE = (
    Permission.of("label", action) for action in ("list", "read", "create", "update", "delete")
)

Scope = Literal["g", "p", ""]
Id = Annotated[int, Path(ge=1, lt=2**63, description="The label's number.", examples=[3])]


class Label(BaseModel):
    """A label."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 3,
                "name": "release",
                "description": "Ready for customers",
                "color": "#00AB9A",
                "scope": "p",
                "project_id": 7,
                "creation_time": "2026-01-02T03:04:05Z",
                "update_time": "2026-01-02T03:04:05Z",
            }
        }
    )

    id: int
    name: str
    description: str
    color: str
    scope: str
    project_id: int
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, record: LabelRecord) -> Label:
        """Return what is shown of a label."""
        return cls(
            id=record.id,
            name=record.name,
            description=record.description,
            color=record.color,
            scope=GLOBAL if record.project_id is None else OF_PROJECT,
            project_id=record.project_id or 0,
            creation_time=moment(record.created_at),
            update_time=moment(record.updated_at),
        )


class LabelRequest(BaseModel):
    """A label to be made or changed; Harbor's clients send back all that they have read."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"example": {"name": "release", "color": "#00AB9A", "scope": "g"}}
    )

    name: Annotated[str, Field(max_length=256)] = ""
    description: Annotated[str, Field(max_length=4096)] = ""
    color: Annotated[str, Field(max_length=32)] = ""
    scope: Scope = ""
    project_id: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def text(self) -> LabelText:
        """Return what it says of the label."""
        return LabelText(name=self.name, description=self.description, color=self.color)


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["label"])
    add = routes.add_api_route
    add("/labels", list_labels, methods=["GET"], responses=PAGED | refusals(404), operation_id="ListLabels")
    add(
        "/labels",
        create_label,
        methods=["POST"],
        status_code=201,
        responses=refusals(404, 409),
        operation_id="CreateLabel",
    )
    add("/labels/{label_id}", get_label, methods=["GET"], operation_id="GetLabelByID")
    add("/labels/{label_id}", update_label, methods=["PUT"], responses=refusals(409), operation_id="UpdateLabel")
    add("/labels/{label_id}", delete_label, methods=["DELETE"], operation_id="DeleteLabel")
    return routes


async def list_labels(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(rows.FIELDS))],
    name: Annotated[str, Query(description="A part of the name.", examples=["rel"])] = "",
    scope: Annotated[Scope, Query(description="g for those of all projects, p for those of one.", examples=["g"])] = "",
    project_id: Annotated[int, Query(ge=0, lt=2**63, description="Whose labels, with scope=p.", examples=[0])] = 0,
) -> list[Label]:
    """List the labels of one project, or those for all."""
    project = await _scoped(caller, services, _LIST, scope, project_id)
    more = (Condition(field="name", match=Match.CONTAINS, values=(name,)),) if name else ()
    narrowed = Selection(
        conditions=(*wanted.conditions, *more), order=wanted.order, limit=wanted.limit, offset=wanted.offset
    )
    found = await services.labels.page(project, narrowed)
    describe(request, response, wanted, found.total)
    return [Label.of(record) for record in found.items]


async def create_label(body: LabelRequest, caller: CallerOf, services: ServicesOf) -> Response:
    """Make a label."""
    project = await _scoped(caller, services, _CREATE, body.scope, body.project_id)
    made = await services.labels.create(project, body.text(), by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/labels/{made.id}")
    return response


async def get_label(label_id: Id, response: Response, caller: CallerOf, services: ServicesOf) -> Label:
    """Return one label."""
    label, _ = await _found(caller, services, _READ, label_id)
    set_etag(response, label.updated_at)
    return Label.of(label)


async def update_label(
    label_id: Id,
    body: LabelRequest,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    expected: Expected,
) -> None:
    """Change name, description and colour of a label."""
    label, project = await _found(caller, services, _UPDATE, label_id)
    changed = await services.labels.change(label, project, body.text(), by=caller.source, expected=expected)
    set_etag(response, changed.updated_at)


async def delete_label(label_id: Id, caller: CallerOf, services: ServicesOf) -> None:
    """Remove a label, also from all artifacts."""
    label, project = await _found(caller, services, _DELETE, label_id)
    await services.labels.delete(label, project, by=caller.source)


async def _scoped(
    caller: Caller, services: ApiServices, permission: Permission, scope: Scope, project_id: int
) -> ProjectRecord | None:
    """Return the project whose labels are meant, once the caller may; None for those of all.

    Raises:
        Invalid: Neither is said.
    """
    if scope == GLOBAL:
        await _require_global(caller, permission)
        return None
    if scope != OF_PROJECT or not project_id:
        raise Invalid("say scope=g for the labels of all projects, or scope=p and project_id=N for those of one")
    return await find_project(caller, services, permission, str(project_id), is_name=False)


async def _found(
    caller: Caller, services: ApiServices, permission: Permission, label_id: int
) -> tuple[LabelRecord, ProjectRecord | None]:
    """Return a label and its project, once the caller may do something with it; else it looks as if it were not."""
    unknown = f"there is no label {label_id}, or you may not see it"
    label = await services.labels.find(label_id)
    if label is None:
        caller.require_sign_in()
        raise NotFound(unknown)
    if label.project_id is None:
        await _require_global(caller, permission)
        return label, None
    project = await services.projects.find(str(label.project_id))
    if project is None:
        raise NotFound(unknown)
    await caller.require(permission, Target(project.name), hidden=unknown)
    return label, project


async def _require_global(caller: Caller, permission: Permission) -> None:
    """Labels for all projects may be seen by whoever signs in."""
    caller.require_sign_in()
    if permission not in (_LIST, _READ):
        await caller.require(permission, SYSTEM_TARGET)
