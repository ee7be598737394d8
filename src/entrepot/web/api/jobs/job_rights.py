"""Who may start a job may not therefore do what it does: each kind has a right of its own, and some parameters have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrepot.access.permissions import Permission
from entrepot.system.jobs.traits import JobTraits
from entrepot.web.api.caller import Caller
from entrepot.web.api.services import ApiServices


async def require_to_run(
    caller: Caller, services: ApiServices, kind: str, parameters: Mapping[str, Any] | None = None
) -> None:
    """Go on only if the caller may do what a run of a kind with these parameters does.

    Raises:
        NotFound: There is no such kind.
        Forbidden: The caller may not.
    """
    traits = services.jobs.kinds.get(kind)
    if traits.right:
        await caller.require(Permission(traits.right))
    await require_for_parameters(caller, traits, parameters or {})


async def require_for_parameters(caller: Caller, traits: JobTraits, parameters: Mapping[str, Any]) -> None:
    """Go on only if the caller may do what these parameters of a kind ask for.

    Raises:
        Forbidden: The caller may not.
    """
    for right in traits.rights_for(parameters):
        await caller.require(Permission(right))
