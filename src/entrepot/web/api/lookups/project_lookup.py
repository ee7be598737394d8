"""The project that a path names, once the caller may do something in it.

async def list_members(project: Annotated[ProjectIn, Depends(project_where(LIST_MEMBERS))]) -> list[Member]:
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from fastapi import Header, Path

from entrepot.access.faults import NotFound
from entrepot.access.model import Target
from entrepot.access.permissions import Permission
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.services import ApiServices

ProjectIn: TypeAlias = ProjectRecord

NameOrId = Annotated[str, Path(max_length=255, description="Name or id of the project.", examples=["library"])]
IsName = Annotated[
    bool, Header(alias="X-Is-Resource-Name", description="The path has the project's name, also where it is a number.")
]
Name = Annotated[str, Path(max_length=255, description="Name of the project.", examples=["library"])]


def project_where(permission: Permission) -> Callable[..., Awaitable[ProjectRecord]]:
    """Return a dependency: the project of `{project_name_or_id}`, in which the caller must have a permission."""

    async def read(
        caller: CallerOf, services: ServicesOf, project_name_or_id: NameOrId, *, is_name: IsName = False
    ) -> ProjectRecord:
        return await find_project(caller, services, permission, project_name_or_id, is_name=is_name)

    return read


def project_named(permission: Permission) -> Callable[..., Awaitable[ProjectRecord]]:
    """Return a dependency: the project of `{project_name}`, in which the caller must have a permission."""

    async def read(caller: CallerOf, services: ServicesOf, project_name: Name) -> ProjectRecord:
        return await find_project(caller, services, permission, project_name, is_name=True)

    return read


async def find_project(
    caller: Caller, services: ApiServices, permission: Permission, reference: str, *, is_name: bool
) -> ProjectRecord:
    """Return a project in which the caller has a permission.

    Raises:
        AccessRefused: Nobody has signed in, and not everybody may.
        NotFound: There is none, or the caller may not see it; the two look the same.
        Forbidden: The caller sees it, and may not do this.
    """
    hidden = f"there is no project {reference}, or you may not see it"
    found = await services.projects.find(reference, is_name=is_name)
    if found is None:
        caller.require_sign_in()
        raise NotFound(hidden)
    await caller.require(permission, Target(found.name), hidden=hidden)
    return found
