"""`/quotas`: how much each project uses, and how much it may. A quota has the number of its project."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from entrepot.access.faults import Invalid
from entrepot.access.model import SYSTEM_TARGET, Target
from entrepot.access.permissions import Permission
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.usage import quota_lists
from entrepot.metadata.usage.quota_lists import QuotaRecord
from entrepot.metadata.usage.usage import Limits
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.values import moment

UNLIMITED = -1
_LIST, _READ, _UPDATE = (Permission.of("quota", action) for action in ("list", "read", "update"))
_SEEN = "there is no quota {0}, or you may not see it"

Id = Annotated[int, Path(ge=1, lt=2**63, description="The project's number.", examples=[7])]
Amount = Annotated[int, Field(ge=-1, le=2**62)]


class Ref(BaseModel):
    """Whose quota it is."""

    id: int
    name: str
    owner_name: str


class Quota(BaseModel):
    """A project's quota; -1 is no limit."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "ref": {"id": 7, "name": "demo", "owner_name": "alice"},
                "hard": {"storage": 10737418240, "artifacts": -1, "repositories": -1},
                "soft": {"storage": 9663676416, "artifacts": -1, "repositories": -1},
                "used": {"storage": 1048576, "artifacts": 12},
                "reserved": 0,
                "charge": "shared",
                "creation_time": "2026-01-02T03:04:05Z",
                "update_time": "2026-01-02T03:04:05Z",
            }
        }
    )

    id: int
    ref: Ref
    hard: dict[str, int]
    soft: dict[str, int]
    used: dict[str, int]
    reserved: int
    charge: str
    creation_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, record: QuotaRecord) -> Quota:
        """Return what is shown of a quota."""
        standing, limits = record.standing, record.standing.limits
        return cls(
            id=record.id,
            ref=Ref(id=record.id, name=record.project, owner_name=record.owner or ""),
            hard=_shown(limits.hard_bytes, limits.hard_manifests, limits.hard_repositories),
            soft=_shown(limits.soft_bytes, limits.soft_manifests, limits.soft_repositories),
            used=used(record),
            reserved=standing.counts.reserved_bytes,
            charge=limits.charge,
            creation_time=moment(record.created_at),
            update_time=moment(record.updated_at),
        )


class Amounts(BaseModel):
    """Limits to be set; what is not named stays as it is, and -1 is no limit."""

    model_config = ConfigDict(extra="forbid")

    storage: Amount | None = None
    artifacts: Amount | None = None
    repositories: Amount | None = None


class QuotaRequest(BaseModel):
    """What a quota shall be."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"example": {"hard": {"storage": 10737418240}, "charge": "shared"}}
    )

    hard: Amounts = Amounts()
    soft: Amounts = Amounts()
    charge: Literal["shared", "full"] | None = None

    def limits(self, now: Limits) -> Limits:
        """Return the limits that are now, with the changes."""
        return Limits(
            charge=self.charge or now.charge,
            hard_bytes=_changed(now.hard_bytes, self.hard.storage),
            hard_manifests=_changed(now.hard_manifests, self.hard.artifacts),
            hard_repositories=_changed(now.hard_repositories, self.hard.repositories),
            soft_bytes=_changed(now.soft_bytes, self.soft.storage),
            soft_manifests=_changed(now.soft_manifests, self.soft.artifacts),
            soft_repositories=_changed(now.soft_repositories, self.soft.repositories),
        )


def used(record: QuotaRecord) -> dict[str, int]:
    """Return what counts for a project."""
    return {"storage": record.standing.bytes, "artifacts": record.standing.counts.manifests}


def _shown(storage: int | None, artifacts: int | None, repositories: int | None) -> dict[str, int]:
    values = {"storage": storage, "artifacts": artifacts, "repositories": repositories}
    return {name: UNLIMITED if value is None else value for name, value in values.items()}


def _changed(now: int | None, wanted: int | None) -> int | None:
    if wanted is None:
        return now
    return None if wanted == UNLIMITED else wanted


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["quota"])
    add = routes.add_api_route
    add("/quotas", list_quotas, methods=["GET"], responses=PAGED, operation_id="listQuotas")
    add("/quotas/{quota_id}", get_quota, methods=["GET"], operation_id="getQuota")
    add("/quotas/{quota_id}", update_quota, methods=["PUT"], operation_id="updateQuota")
    return routes


async def list_quotas(
    request: Request,
    response: Response,
    caller: CallerOf,
    services: ServicesOf,
    wanted: Annotated[Selection, Depends(selection(quota_lists.FIELDS))],
    reference: Annotated[str, Query(max_length=32, description="Only `project`.", examples=["project"])] = "",
    reference_id: Annotated[str, Query(max_length=19, description="Of one project.", examples=["7"])] = "",
) -> list[Quota]:
    """List the quotas of all projects."""
    await caller.require(_LIST, SYSTEM_TARGET)
    if reference not in ("", "project"):
        raise Invalid("only projects have quotas; leave reference out, or send project")
    narrowed = wanted
    if reference_id.isascii() and reference_id.isdigit():
        one = Condition(field="id", match=Match.EQUAL, values=(int(reference_id),))
        narrowed = Selection(
            conditions=(*wanted.conditions, one), order=wanted.order, limit=wanted.limit, offset=wanted.offset
        )
    found = await services.quotas.page(narrowed)
    describe(request, response, wanted, found.total)
    return [Quota.of(record) for record in found.items]


async def get_quota(quota_id: Id, caller: CallerOf, services: ServicesOf) -> Quota:
    """Return the quota of one project."""
    caller.require_sign_in()
    record = await services.quotas.get(quota_id)
    await caller.require(_READ, Target(record.project), hidden=_SEEN.format(quota_id))
    return Quota.of(record)


async def update_quota(quota_id: Id, body: QuotaRequest, caller: CallerOf, services: ServicesOf) -> None:
    """Change how much a project may use; what it has stays."""
    await caller.require(_UPDATE, SYSTEM_TARGET)
    record = await services.quotas.get(quota_id)
    await services.quotas.set(quota_id, body.limits(record.standing.limits), by=caller.source)
