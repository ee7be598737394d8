"""`/projects/{project}/immutabletagrules`: which tags can be neither moved nor deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.permissions import Permission
from entrepot.lifecycle import selectors
from entrepot.lifecycle.immutability.rules import RuleText
from entrepot.metadata.filtering import Selection
from entrepot.metadata.lifecycle import immutable_rules as rows
from entrepot.metadata.lifecycle.immutable_rules import RuleRecord
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.locations import set_location
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.retention.selector_models import REPOSITORY, Scopes, Selectors, shown

_LIST, _CREATE, _UPDATE, _DELETE = (
    Permission.of("immutable-tag", action) for action in ("list", "create", "update", "delete")
)
_ACTION = "immutable"
_TEMPLATE = "immutable_template"
_EXAMPLE: dict[str, Any] = {
    "id": 3,
    "priority": 0,
    "disabled": False,
    "action": _ACTION,
    "template": _TEMPLATE,
    "params": {},
    "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": "v*", "extras": ""}],
    "scope_selectors": {
        "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**", "extras": ""}]
    },
}
Id = Annotated[int, Path(ge=1, lt=2**63, description="Number of the rule.", examples=[3])]


class ImmutableRule(BaseModel):
    """A rule: tags that fit all its tag selectors, in repositories that fit all its scope selectors, stay."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": _EXAMPLE})

    id: int = 0
    priority: int = 0
    disabled: bool = False
    action: Annotated[str, Field(max_length=32)] = _ACTION
    template: Annotated[str, Field(max_length=64)] = _TEMPLATE
    params: dict[str, Any] = {}
    tag_selectors: Selectors = []
    scope_selectors: Scopes = {}

    @classmethod
    def of(cls, record: RuleRecord) -> ImmutableRule:
        """Return what is shown of a rule."""
        return cls(
            id=record.id,
            priority=record.priority,
            disabled=record.disabled,
            tag_selectors=shown(selectors.read(record.tag_selectors)),
            scope_selectors={REPOSITORY: shown(selectors.read(record.repository_selectors))},
        )

    def text(self) -> RuleText:
        """Return what it says."""
        return RuleText(
            tags=[one.selector() for one in self.tag_selectors],
            repositories=[one.selector() for one in self.scope_selectors.get(REPOSITORY, [])],
            priority=self.priority,
            disabled=self.disabled,
        )


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["immutable"])
    add = routes.add_api_route
    every = "/projects/{project_name_or_id}/immutabletagrules"
    add(every, list_rules, methods=["GET"], responses=PAGED, operation_id="ListImmuRules")
    add(every, create_rule, methods=["POST"], status_code=201, responses=refusals(409), operation_id="CreateImmuRule")
    one = f"{every}/{{immutable_rule_id}}"
    add(one, update_rule, methods=["PUT"], responses=refusals(409), operation_id="UpdateImmuRule")
    add(one, delete_rule, methods=["DELETE"], operation_id="DeleteImmuRule")
    return routes


async def list_rules(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_LIST))],
    wanted: Annotated[Selection, Depends(selection(rows.FIELDS))],
) -> list[ImmutableRule]:
    """List the rules of a project."""
    found = await services.lifecycle.immutable.page(project, wanted)
    describe(request, response, wanted, found.total)
    return [ImmutableRule.of(record) for record in found.items]


async def create_rule(
    body: ImmutableRule,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_CREATE))],
) -> Response:
    """Make a rule; it counts for tags that are there already, too."""
    made = await services.lifecycle.immutable.create(project, body.text(), by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/projects/{project.id}/immutabletagrules/{made}")
    return response


async def update_rule(
    immutable_rule_id: Id,
    body: ImmutableRule,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_UPDATE))],
) -> None:
    """Change a rule, or switch it off and on."""
    await services.lifecycle.immutable.change(project, immutable_rule_id, body.text(), by=caller.source)


async def delete_rule(
    immutable_rule_id: Id,
    caller: CallerOf,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(_DELETE))],
) -> None:
    """Remove a rule."""
    await services.lifecycle.immutable.delete(project, immutable_rule_id, by=caller.source)
