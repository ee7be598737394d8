"""`/blobs/{digest}/why`: why something is still stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from entrepot.access.faults import Invalid, NotFound
from entrepot.access.permissions import Permission
from entrepot.lifecycle.collection import why
from entrepot.lifecycle.collection.why import Holding
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.values import moment_or_none

_READ: Final = Permission("garbage-collection:read")
_DIGEST: Final = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


class Reason(BaseModel):
    """One reason why it is kept."""

    reason: str
    repository: str | None = None
    digest: str | None = None
    role: str | None = None
    tags: list[str]
    until: datetime | None = None

    @classmethod
    def of(cls, reason: why.Reason) -> Reason:
        """Return what is shown of a reason."""
        return cls(
            reason=reason.reason,
            repository=reason.repository,
            digest=reason.digest,
            role=reason.role,
            tags=list(reason.tags),
            until=moment_or_none(reason.until),
        )


class Kept(BaseModel):
    """What is known of a blob or a manifest, wherever it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "digest": _DIGEST,
                "size": 2,
                "state": "live",
                "repositories": ["demo/app"],
                "reasons": [{"reason": "manifest", "repository": "demo/app", "role": "config", "tags": ["1.0"]}],
                "more": False,
            }
        }
    )

    digest: str
    size: int | None
    state: str | None
    repositories: list[str]
    reasons: list[Reason]
    more: bool

    @classmethod
    def of(cls, holding: Holding) -> Kept:
        """Return what is shown."""
        return cls(
            digest=holding.digest,
            size=holding.size,
            state=holding.state,
            repositories=holding.repositories,
            reasons=[Reason.of(reason) for reason in holding.reasons],
            more=holding.more,
        )


def router() -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["gc"])
    routes.add_api_route("/blobs/{digest}/why", explain_blob, methods=["GET"], operation_id="explainBlob")
    return routes


async def explain_blob(
    caller: CallerOf,
    services: ServicesOf,
    digest: Annotated[str, Path(max_length=255, examples=[_DIGEST], description="Of a blob or a manifest.")],
) -> Kept:
    """Say why a blob or a manifest is still stored: which manifests need it, what the trash and the grace keep."""
    await caller.require(_READ)
    try:
        wanted = Digest.parse(digest)
    except DigestInvalid as error:
        raise Invalid(f"digest: {error.message}") from None
    found = await services.why.about(wanted)
    if found is None:
        raise NotFound(f"nothing of the digest {wanted} is stored")
    return Kept.of(found)
