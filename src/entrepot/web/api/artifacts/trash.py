"""`/trash`: what was deleted, looked at, restored and removed for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from entrepot.access.faults import NotFound
from entrepot.access.model import SYSTEM_TARGET, Target
from entrepot.access.permissions import PUSH, Permission
from entrepot.lifecycle.trash.purge import Purger
from entrepot.metadata.filtering import Selection
from entrepot.metadata.lifecycle import trash_lists
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.web.api.artifacts.trash_models import EmptiedTrash, Purged, Restored, RestoreRequest, TrashItem, name_of
from entrepot.web.api.caller import CallerOf, ServicesOf
from entrepot.web.api.lookups.project_lookup import ProjectIn, project_where
from entrepot.web.api.lookups.repository_lookup import actor_of
from entrepot.web.api.paging import PAGED, describe, selection
from entrepot.web.api.refusals import refusals

LIST, READ, RESTORE, PURGE, EMPTY = (
    Permission.of("trash", action) for action in ("list", "read", "restore", "purge", "empty")
)
_Wanted = Annotated[Selection, Depends(selection(trash_lists.FIELDS))]
_Id = Annotated[int, Path(ge=1, lt=2**63, description="Number of the deleted thing.", examples=[12])]


def router() -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["trash"])
    add = routes.add_api_route
    add("/trash", list_trash, methods=["GET"], responses=PAGED, operation_id="listTrash")
    add("/trash", empty_trash, methods=["DELETE"], responses=refusals(405), operation_id="emptyTrash")
    one = "/trash/{trash_id}"
    add(one, get_item, methods=["GET"], operation_id="getTrashItem")
    add(one, purge_item, methods=["DELETE"], responses=refusals(405), operation_id="purgeTrashItem")
    restoring = refusals(405, 409, 412)
    add(f"{one}/restore", restore_item, methods=["POST"], responses=restoring, operation_id="restoreTrashItem")
    of_project = "/projects/{project_name_or_id}/trash"
    add(of_project, list_of_project, methods=["GET"], responses=PAGED, operation_id="listTrashOfProject")
    add(of_project, empty_project, methods=["DELETE"], responses=refusals(405), operation_id="emptyTrashOfProject")
    return routes


def entry_where(permission: Permission) -> Callable[..., Awaitable[TrashEntry]]:
    """Return a dependency: the entry of `{trash_id}`, in whose project the caller must have a permission.

    A project in the trash has its members still: they may do there what they might.
    """

    async def read(caller: CallerOf, services: ServicesOf, trash_id: _Id) -> TrashEntry:
        unknown = f"there is nothing of number {trash_id} in the trash, or you may not see it"
        entry = await services.lifecycle.trash.find(trash_id)
        project = None if entry is None else await services.lifecycle.trash.project_of(entry)
        if entry is None or project is None:
            caller.require_sign_in()
            raise NotFound(unknown)
        await caller.require(permission, Target(project.name, name_of(entry)), hidden=unknown)
        return entry

    return read


async def list_trash(
    request: Request, response: Response, caller: CallerOf, services: ServicesOf, wanted: _Wanted
) -> list[TrashItem]:
    """List what was deleted in all projects whose trash the caller may see, the latest first."""
    caller.require_sign_in()
    found = await services.lifecycle.trash.page(caller.principal, wanted)
    describe(request, response, wanted, found.total)
    return [TrashItem.of(entry) for entry in found.items]


async def list_of_project(
    request: Request,
    response: Response,
    services: ServicesOf,
    project: Annotated[ProjectIn, Depends(project_where(LIST))],
    wanted: _Wanted,
) -> list[TrashItem]:
    """List what was deleted in a project, the latest first."""
    found = await services.lifecycle.trash.of_project(project, wanted)
    describe(request, response, wanted, found.total)
    return [TrashItem.of(entry) for entry in found.items]


async def get_item(entry: Annotated[TrashEntry, Depends(entry_where(READ))]) -> TrashItem:
    """Return one deleted thing."""
    return TrashItem.of(entry)


async def restore_item(
    body: RestoreRequest,
    caller: CallerOf,
    services: ServicesOf,
    entry: Annotated[TrashEntry, Depends(entry_where(RESTORE))],
) -> Restored:
    """Restore something with what went with it: an index with its images, an image with its signatures, and so on.

    Where another project has the name of its own now, that one takes it in: this needs the same permission there, and
    that to push.
    """
    other = await services.lifecycle.trash.successor_of(entry)
    if other is not None:
        for permission in (RESTORE, PUSH):
            await caller.require(permission, Target(other.name, name_of(entry)))
    into = None if other is None else other.id
    done = await services.lifecycle.trash.restore(entry, replace=body.replace, by=actor_of(caller), into=into)
    return Restored.of(done)


async def purge_item(
    caller: CallerOf,
    services: ServicesOf,
    entry: Annotated[TrashEntry, Depends(entry_where(PURGE))],
    reason: Annotated[
        str,
        Query(max_length=1000, description="For the audit log; never the secret itself.", examples=["ticket 4711"]),
    ] = "",
) -> Purged:
    """Remove something for good now, with what went with it, and from the history of its tags."""
    by = Purger(actor=actor_of(caller), reason=reason)
    return Purged.of(await services.lifecycle.trash.purging.entry(entry, by=by))


async def empty_trash(caller: CallerOf, services: ServicesOf) -> EmptiedTrash:
    """Remove for good what is in all trash, as much as there is time for; ask again while it says so."""
    await caller.require(EMPTY, SYSTEM_TARGET)
    done = await services.lifecycle.trash.empty(None, by=actor_of(caller))
    return EmptiedTrash(manifests=done.manifests, is_left=done.is_left)


async def empty_project(
    caller: CallerOf, services: ServicesOf, project: Annotated[ProjectIn, Depends(project_where(EMPTY))]
) -> EmptiedTrash:
    """Remove for good what is in a project's trash, as much as there is time for; ask again while it says so."""
    done = await services.lifecycle.trash.empty(project, by=actor_of(caller))
    return EmptiedTrash(manifests=done.manifests, is_left=done.is_left)
