"""What the handlers of the API work with, put together by `bootstrap`."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata.database import Database
from entrepot.projects.contents.service import Contents
from entrepot.projects.service import Projects
from entrepot.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """The use cases behind the API; one per worker."""

    web: Services  #: what the rest of the web layer works with: registry, authenticator, authorizer, settings, ...
    metadata: Database
    projects: Projects
    contents: Contents
