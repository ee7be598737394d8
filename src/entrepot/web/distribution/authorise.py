"""Who is asking, and may they: the first thing every handler does."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.access.model import PERMISSIONS_BY_METHOD, Principal, Target, scope_for
from entrepot.access.permissions import CATALOG, CREATE_PROJECT, PULL, PUSH, Permission
from entrepot.metadata.contents import repositories
from entrepot.metadata.engine.ballast import Reserve, use_reserve
from entrepot.oci.errors import Unauthorized
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import Actor
from entrepot.web.http import Request
from entrepot.web.services import Services

#: What an upload session needs whatever the method: reading or ending it is part of the push that opened it.
_UPLOAD = (PULL, PUSH)


async def identify(request: Request, services: Services, *, grace: float = 0) -> Principal:
    """Return who is asking, and note the name for the access log."""
    principal = await services.authenticator.authenticate(request.header(b"authorization"), request.client, grace=grace)
    request.user = principal.name
    return principal


async def authorise(
    request: Request, services: Services, *, tags: Sequence[str] = ()
) -> tuple[RepositoryName, Principal]:
    """Return the repository that the path names, once the caller may do what the method does, to all `tags` it names.

    Raises:
        NameInvalid: The path's name is none.
        Unauthorized: The caller may not; the challenge names the scope that is needed.
    """
    name = RepositoryName.parse(request.name)
    question = services.admissions.question(request, tags)
    admission = None if question is None else services.admissions.find(question)
    if admission is None:
        principal = await _authorise(request, services, name, PERMISSIONS_BY_METHOD[request.method], tags=tags)
        admission = None if question is None else services.admissions.put(question, principal)
    else:
        principal = admission.principal
    if admission is not None:
        request.admitted_until = admission.until
    request.user = principal.name
    _release_reserve(request)
    await _count(request, services, principal, name)
    return name, principal


async def authorise_upload(request: Request, services: Services) -> tuple[RepositoryName, Principal]:
    """Return the repository of an upload session, once the caller may go on with it.

    An upload may outlast the token it was opened with, so a token that has expired since still counts here. The
    session itself belongs to one principal; somebody else's is unknown to the caller.
    """
    name = RepositoryName.parse(request.name)
    grace = services.settings.upload_grace_seconds
    principal = await _authorise(request, services, name, _UPLOAD, grace=grace)
    _release_reserve(request)
    await _count(request, services, principal, name)
    return name, principal


async def authorise_catalog(request: Request, services: Services) -> Principal:
    """Return the caller, once they may list repositories."""
    principal = await _authorise(request, services, None, (CATALOG,))
    await _count(request, services, principal, None)
    return principal


async def actor(request: Request, principal: Principal, name: RepositoryName, services: Services) -> Actor:
    """Return what the registry needs to know of a principal who pushes to a repository."""
    decision = await services.authorizer.allows(principal, CREATE_PROJECT, Target.of(name))
    return Actor(
        name=principal.name,
        address=request.client,
        credential=principal.credential,
        request=request.id,
        may_create_project=decision.allowed,
    )


async def count_new(request: Request, services: Services, principal: Principal, name: RepositoryName) -> None:
    """Count a push that would make a repository against the limit on these, where there is one.

    Raises:
        TooManyRequests: The caller has begun too many.
    """
    if services.rates is None or not services.rates.counts_new:
        return
    if await repositories.find(services.registry.lookup.metadata, name) is None:
        await services.rates.begins(request, principal, name)


async def _authorise(
    request: Request,
    services: Services,
    name: RepositoryName | None,
    permissions: Sequence[Permission],
    *,
    tags: Sequence[str] = (),
    grace: float = 0,
) -> Principal:
    try:
        principal = await identify(request, services, grace=grace)
    except Unauthorized as refused:
        # Clients take the scope of the next token from the challenge, also when it was the old one that was refused.
        refused.scopes = refused.scopes or (scope_for(name, permissions),)
        raise
    for tag in tags or (None,):
        await services.authorizer.require(principal, permissions, name, tag=tag)
    return principal


def _release_reserve(request: Request) -> None:
    """Let a deletion find room on a full disk."""
    if request.method == "DELETE":
        use_reserve(Reserve.RELEASED)


async def _count(request: Request, services: Services, principal: Principal, name: RepositoryName | None) -> None:
    """Count a request against the limits of who asks, and of the project, if there are any."""
    if services.rates is not None and services.rates.counts_admitted:
        await services.rates.admitted(request, principal, None if name is None else name.project)
