"""Mounting: a blob that lies in one repository becomes a blob of another without being sent (end-11)."""

from __future__ import annotations

from entrepot.access.model import PERMISSIONS_BY_METHOD, Principal, Target
from entrepot.access.permissions import PULL
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, NameInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.web.distribution.authorise import actor
from entrepot.web.http import Request
from entrepot.web.services import Services


async def try_mount(
    request: Request, services: Services, name: RepositoryName, principal: Principal, wanted: str
) -> Digest | None:
    """Mount a blob from `from`, or without it from wherever the caller may read it; None when that cannot be done.

    What is no digest cannot be mounted either: a mount is an offer to save a transfer, and its client can still send.

    Whether a blob exists in a repository is told only to those who may read there: for the others, a mount looks the
    same whether or not the blob is there.

    Raises:
        Unauthorized: The token does not cover the source, and the account behind it may read there.
    """
    try:
        digest = Digest.parse(wanted)
    except DigestInvalid:
        return None
    source = await _source(request, services, name, principal, digest)
    if source is None:
        return None
    who = await actor(request, principal, name, services)
    return digest if await services.registry.blobs.mount(name, digest, source, actor=who) is not None else None


async def _source(
    request: Request, services: Services, name: RepositoryName, principal: Principal, digest: Digest
) -> RepositoryName | None:
    text = request.query("from")
    if not text:
        holders = await services.registry.blobs.find_anywhere(digest)
        return await services.authorizer.first_readable(principal, holders)
    try:
        source = RepositoryName.parse(text)
    except NameInvalid:
        return None  # a client's guess about another registry's names is no reason to refuse its push
    return source if await _may_read(services, principal, name, source) else None


async def _may_read(services: Services, principal: Principal, name: RepositoryName, source: RepositoryName) -> bool:
    if (await services.authorizer.allows(principal, PULL, Target.of(source))).allowed:
        return True
    if principal.scopes is None:
        return False
    # A better token would do. One of another service may be had for all we know; for one of ours we know.
    person = principal.beyond_token()
    if person.scopes is not None or (await services.authorizer.allows(person, PULL, Target.of(source))).allowed:
        await services.authorizer.require(principal, PERMISSIONS_BY_METHOD["POST"], name, source=source)
    return False
