"""`/retentions`: which tags projects keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from entrepot.access.faults import NotFound
from entrepot.access.model import Target
from entrepot.access.permissions import Permission
from entrepot.lifecycle.retention.policies import Policy
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.locations import LOCATED, set_location
from entrepot.web.api.lookups.project_lookup import find_project
from entrepot.web.api.refusals import refusals
from entrepot.web.api.retention.models import RetentionPolicy
from entrepot.web.api.retention.vocabulary import RetentionMetadata, metadata

LIST, READ, CREATE, UPDATE, DELETE = (
    Permission.of("tag-retention", action) for action in ("list", "read", "create", "update", "delete")
)
Id = Annotated[int, Path(ge=1, lt=2**63, description="Number of the policy.", examples=[4])]


@dataclass(frozen=True, slots=True)
class PolicyIn:
    """A policy that a path names, and its project."""

    policy: Policy
    project: ProjectRecord


def policy_where(permission: Permission) -> Callable[..., Awaitable[PolicyIn]]:
    """Return a dependency: the policy of `{retention_id}`, in whose project the caller must have a permission."""

    async def read(caller: CallerOf, services: ServicesOf, retention_id: Id) -> PolicyIn:
        unknown = f"there is no retention policy {retention_id}, or you may not see it"
        policy = await services.lifecycle.retention.find(retention_id)
        project = None if policy is None else await services.projects.find(str(policy.project_id), is_name=False)
        if policy is None or project is None:
            caller.require_sign_in()
            raise NotFound(unknown)
        await caller.require(permission, Target(project.name), hidden=unknown)
        return PolicyIn(policy, project)

    return read


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["retention"])
    add = routes.add_api_route
    add("/retentions/metadatas", get_metadata, methods=["GET"], operation_id="getRentenitionMetadata")
    made = LOCATED | refusals(404, 409)
    add("/retentions", create_policy, methods=["POST"], status_code=201, responses=made, operation_id="createRetention")
    one = "/retentions/{retention_id}"
    add(one, get_policy, methods=["GET"], operation_id="getRetention")
    add(one, update_policy, methods=["PUT"], responses=refusals(409), operation_id="updateRetention")
    add(one, delete_policy, methods=["DELETE"], operation_id="deleteRetention")
    return routes


async def get_metadata(caller: CallerOf) -> RetentionMetadata:
    """Return what rules can say."""
    caller.require_sign_in()
    return metadata()


async def create_policy(body: RetentionPolicy, caller: CallerOf, services: ServicesOf) -> Response:
    """Give a project a policy; it has one at most."""
    project = await find_project(caller, services, CREATE, body.scope.project(), is_name=False)
    made = await services.lifecycle.retention.create(project, body.text(), by=caller.source)
    response = Response(status_code=201)
    set_location(response, services, f"/retentions/{made}")
    return response


async def get_policy(found: Annotated[PolicyIn, Depends(policy_where(READ))]) -> RetentionPolicy:
    """Return a policy."""
    return RetentionPolicy.of(found.policy)


async def update_policy(
    body: RetentionPolicy,
    caller: CallerOf,
    services: ServicesOf,
    found: Annotated[PolicyIn, Depends(policy_where(UPDATE))],
) -> None:
    """Change a policy: its rules, and when it runs by itself."""
    if body.scope.project() != str(found.project.id):
        raise NotFound(f"retention policy {found.policy.id} is not the one of project {body.scope.ref}")
    await services.lifecycle.retention.change(found.project, found.policy.id, body.text(), by=caller.source)


async def delete_policy(
    caller: CallerOf, services: ServicesOf, found: Annotated[PolicyIn, Depends(policy_where(DELETE))]
) -> None:
    """Take a policy away; the project keeps all its tags then."""
    await services.lifecycle.retention.delete(found.project, found.policy.id, by=caller.source)
