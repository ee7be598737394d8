"""`…/tags/{tag}/history`: what a tag pointed at and when, who moved it, and putting it back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from entrepot.access.faults import Invalid
from entrepot.access.model import Target
from entrepot.access.permissions import PUSH, Permission
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.contents import tag_history
from entrepot.metadata.filtering import Selection
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.web.api.artifacts.trash_models import HistoryEntry, PutBackRequest, Restored
from entrepot.web.api.caller import ServicesOf
from entrepot.web.api.lookups.artifact_lookup import TagName
from entrepot.web.api.lookups.repository_lookup import RepositoryIn, repository_where
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals
from entrepot.web.api.services import ApiServices

_LIST = Permission("tag:list")
_CREATE = Permission("tag:create")
_RESTORE = Permission("trash:restore")


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["artifact"])
    add = routes.add_api_route
    one = "/projects/{project_name}/repositories/{repository_name}/tags/{tag_name}"
    add(f"{one}/history", list_history, methods=["GET"], responses=PAGED, operation_id="listTagHistory")
    add(f"{one}/restore", put_back, methods=["POST"], responses=refusals(405, 412), operation_id="restoreTag")
    return routes


async def list_history(
    request: Request,
    response: Response,
    services: ServicesOf,
    repository: Annotated[RepositoryIn, Depends(repository_where(_LIST))],
    tag_name: TagName,
    wanted: Annotated[Selection, Depends(selection(tag_history.FIELDS))],
) -> list[HistoryEntry]:
    """List the moves of a tag, also of one that is deleted, the latest first."""
    found = await services.lifecycle.history.page(repository.record, _tag(tag_name), wanted)
    describe(request, response, wanted, found.total)
    return [HistoryEntry.of(shown) for shown in found.items]


async def put_back(
    body: PutBackRequest,
    services: ServicesOf,
    repository: Annotated[RepositoryIn, Depends(repository_where(_CREATE))],
    tag_name: TagName,
) -> Restored:
    """Point a tag at what it named before; a manifest that lies in the trash comes back with it.

    Whoever may push to the tag may do this, and needs `trash:restore` as well where something comes out of the trash.
    """
    tag, record = _tag(tag_name), repository.record
    digest = await _digest(services, repository, tag, body)
    await repository.caller.require(PUSH, Target.of(RepositoryName(record.name), tag))
    if await services.lifecycle.history.lies_in_trash(record, digest):
        await repository.caller.require(_RESTORE, repository.target)
    done = await services.lifecycle.history.put_back(record, tag, digest, by=repository.actor)
    return Restored.of(done)


async def _digest(services: ApiServices, repository: RepositoryIn, tag: Tag, body: PutBackRequest) -> str:
    history = services.lifecycle.history
    if body.digest is not None and body.at is not None:
        raise Invalid("say digest or at, not both")
    if body.at is not None:
        return await history.at(repository.record, tag, int(body.at.timestamp() * MICROSECONDS))
    if body.digest is None:
        return await history.previous(repository.record, tag)
    try:
        return str(Digest.parse(body.digest))
    except DigestInvalid as error:
        raise Invalid(error.message) from None


def _tag(name: str) -> Tag:
    try:
        return Tag.parse(name)
    except TagInvalid as error:
        raise Invalid(error.message) from None
