"""Puts the use cases behind the API together, from what a deployment has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entrepot.access.policy import Policy
from entrepot.metadata.database import Database
from entrepot.projects.contents.service import build_contents
from entrepot.projects.labels import Labels
from entrepot.projects.search import Search
from entrepot.projects.service import Projects
from entrepot.system.configuration import Configuration
from entrepot.system.statistics import Statistics
from entrepot.system.volumes import volume_of
from entrepot.web.api.services import ApiServices
from entrepot.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a deployment gives: its databases, who decides, and what needs an adapter."""

    web: Services
    metadata: Database
    work: Database
    policy: Policy
    configuration: Configuration
    folder: Path  #: where the blobs lie


def build_services(parts: Parts) -> ApiServices:
    """Return the use cases behind the API."""
    projects = Projects(parts.metadata, parts.policy, parts.web.registry.catalog.gate)
    return ApiServices(
        web=parts.web,
        metadata=parts.metadata,
        contents=build_contents(parts.metadata, parts.web.registry, parts.web.store, parts.policy),
        projects=projects,
        labels=Labels(parts.metadata),
        search=Search(parts.metadata, parts.policy, projects),
        configuration=parts.configuration,
        statistics=Statistics(parts.metadata, parts.policy),
        volume=partial(volume_of, parts.folder),
    )
