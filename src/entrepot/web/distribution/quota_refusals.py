"""Whose bytes fill a project: told to who is refused a push for want of room, of what they may read."""

from __future__ import annotations

from typing import Final

from entrepot.access.model import Target
from entrepot.access.permissions import PULL
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.usage import largest_repositories
from entrepot.oci.errors import QuotaExceeded, RegistryError
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.words import spelt
from entrepot.web.distribution.authorise import identify
from entrepot.web.http import Request
from entrepot.web.services import Services

#: Repositories that are looked at, and that are named.
_LOOKED_AT: Final = 10
_NAMED: Final = 3


async def tell_who_uses(refused: QuotaExceeded, request: Request, services: Services) -> None:
    """Add to a refusal which repositories of the project are the largest.

    The rights of the account count, not the scopes that its client asked for: as with mounts (see
    `Authorizer.first_readable`). Where they cannot be found out, the refusal stays as it is.
    """
    try:
        found = await _readable(refused.project, request, services)
    except (RegistryError, DatabaseError):
        return
    if not found:
        return
    named = ", ".join(f"{name} ({spelt(size)})" for name, size in found)
    refused.message = f"{refused.message} Its largest repositories are {named}."
    if isinstance(refused.detail, dict):
        refused.detail["largest_repositories"] = [{"name": name, "bytes": size} for name, size in found]


async def _readable(project_id: int, request: Request, services: Services) -> list[tuple[RepositoryName, int]]:
    principal = await identify(request, services, grace=services.settings.upload_grace_seconds)
    metadata = services.registry.manifests.metadata
    found: list[tuple[RepositoryName, int]] = []
    for text, size in await largest_repositories.of_project(metadata, project_id, limit=_LOOKED_AT):
        name = RepositoryName(text)
        decision = await services.authorizer.allows(principal.beyond_token(), PULL, Target.of(name))
        if decision.allowed and len(found) < _NAMED:
            found.append((name, size))
    return found
