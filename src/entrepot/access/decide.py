"""The one place that says yes or no: a pure function of who asks, what was granted and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from entrepot.access.model import (
    ANY_ACTION,
    CATALOG_NAME,
    REGISTRY_TYPE,
    REPOSITORY_TYPE,
    Action,
    Audience,
    Decision,
    Grant,
    Principal,
    PrincipalKind,
)
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope


def decide(
    principal: Principal,
    grants: Iterable[Grant],
    *,
    project_public: bool,
    action: Action,
    name: RepositoryName | None,
) -> Decision:
    """Decide whether `principal` may do `action` on a repository, or on the registry as a whole when `name` is None.

    A token never adds a right: it must name the action, and the principal behind it must have the right as well.
    """
    if principal.scopes is not None and not _named_by(principal.scopes, action, name):
        return Decision(allowed=False, reason=f"the token does not allow {action} on {_label(name)}")
    project = None if name is None else name.project
    for grant in grants:
        if reaches(grant, principal) and grant.covers(action, project):
            return Decision(
                allowed=True, reason=f"grant {grant.origin or grant.id} allows {action} on {grant.resource}"
            )
    if action is Action.PULL and project_public and name is not None:
        return Decision(allowed=True, reason=f"project {project} is public")
    if action is Action.CATALOG and not principal.is_anonymous:
        return Decision(allowed=True, reason="whoever is signed in may list what they may read")
    return Decision(allowed=False, reason=f"no grant allows {action} on {_label(name)}")


def reaches(grant: Grant, principal: Principal) -> bool:
    """Tell whether a grant is made to this principal, directly or through an audience."""
    if grant.audience is Audience.ANYONE:
        return True
    if grant.audience is Audience.AUTHENTICATED:
        return not principal.is_anonymous
    return principal.kind is PrincipalKind.USER and principal.id is not None and grant.principal_id == principal.id


def _named_by(scopes: Iterable[Scope], action: Action, name: RepositoryName | None) -> bool:
    """Tell whether a token's scopes name the action. Making a project is part of pushing; tokens never administer."""
    if action is Action.CATALOG:
        return any(s.type == REGISTRY_TYPE and s.name == CATALOG_NAME and ANY_ACTION in s.actions for s in scopes)
    wanted = Action.PUSH if action is Action.CREATE_PROJECT else action
    if wanted is Action.ADMIN or name is None:
        return False
    return any(
        s.type == REPOSITORY_TYPE and s.name == name and (wanted in s.actions or ANY_ACTION in s.actions)
        for s in scopes
    )


def _label(name: RepositoryName | None) -> str:
    return "the registry" if name is None else f"repository {name}"
