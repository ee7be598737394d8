"""Puts the use cases behind the API together, from what a deployment has."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.access.policy import Policy
from entrepot.metadata.database import Database
from entrepot.projects.contents.service import build_contents
from entrepot.projects.service import Projects
from entrepot.web.api.services import ApiServices
from entrepot.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a deployment gives: its databases, who decides, and what needs an adapter."""

    web: Services
    metadata: Database
    work: Database
    policy: Policy


def build_services(parts: Parts) -> ApiServices:
    """Return the use cases behind the API."""
    return ApiServices(
        web=parts.web,
        metadata=parts.metadata,
        contents=build_contents(parts.metadata, parts.web.registry, parts.web.store, parts.policy),
        projects=Projects(parts.metadata, parts.policy, parts.web.registry.catalog.gate),
    )
