"""The repository that a path names by its project and the rest of its name, once the caller may do something in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path

from entrepot.access.errors import AccessRefused
from entrepot.access.faults import NotFound
from entrepot.access.model import Target
from entrepot.access.permissions import Permission
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.registry.model import Actor
from entrepot.web.api.caller import Caller, CallerOf, ServicesOf
from entrepot.web.api.paths import with_slashes
from entrepot.web.api.services import ApiServices

ProjectName = Annotated[str, Path(max_length=255, description="Name of the project.", examples=["library"])]
RepositoryPart = Annotated[
    str,
    Path(
        max_length=1024,
        description="The repository's name without its project; slashes are encoded twice (`a%252Fb`).",
        examples=["hello"],
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryIn:
    """A repository, and whoever wants something of it."""

    record: RepositoryRecord
    target: Target
    caller: Caller

    @property
    def actor(self) -> Actor:
        """The caller, as the registry remembers who did something."""
        return actor_of(self.caller)


def actor_of(caller: Caller) -> Actor:
    """Return the caller as the registry knows people; nobody makes projects by changing repositories here."""
    source = caller.source
    return Actor(name=source.name, address=source.address, credential=source.credential, request=source.request)


def repository_where(permission: Permission) -> Callable[..., Awaitable[RepositoryIn]]:
    """Return a dependency: the repository of a path, in which the caller must have a permission."""

    async def read(
        caller: CallerOf, services: ServicesOf, project_name: ProjectName, repository_name: RepositoryPart
    ) -> RepositoryIn:
        return await find_repository(caller, services, permission, project_name, with_slashes(repository_name))

    return read


async def repository_or_none(
    caller: Caller, services: ApiServices, permission: Permission, project: str, rest: str
) -> RepositoryIn | None:
    """Return a repository in which the caller has a permission; None where only the repository is missing.

    Raises what `find_repository` does for whoever has no such permission, and where there is no such project.
    """
    try:
        return await find_repository(caller, services, permission, project, rest)
    except (AccessRefused, NotFound):
        known = await services.projects.find(project, is_name=True)
        target = Target.of(await services.contents.names.stored(project, rest))
        if known is None or not await caller.may(permission, target):
            raise
        return None


async def find_repository(
    caller: Caller, services: ApiServices, permission: Permission, project: str, rest: str
) -> RepositoryIn:
    """Return a repository in which the caller has a permission.

    Raises:
        AccessRefused: Nobody has signed in, and not everybody may.
        NotFound: There is none, or the caller may not see its project.
        Forbidden: The caller sees it, and may not do this.
    """
    unknown = f"there is no repository {project}/{rest}, or you may not see it"
    names = services.contents.names
    target = Target.of(await names.stored(project, rest))
    await caller.require(permission, target, hidden=unknown)
    try:
        return RepositoryIn(record=await names.find(project, rest), target=target, caller=caller)
    except NotFound:
        caller.require_sign_in()
        raise NotFound(unknown) from None
