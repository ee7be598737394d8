"""The one place that says yes or no: a pure function of who asks, what was granted and what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from entrepot.access.model import (
    ANY_ACTION,
    CATALOG_NAME,
    REGISTRY_TYPE,
    REPOSITORY_ACTIONS,
    REPOSITORY_TYPE,
    Audience,
    Decision,
    Grant,
    Principal,
    Target,
    Visibility,
)
from entrepot.access.permissions import CATALOG, CREATE_PROJECT, PUSH, READING, Permission
from entrepot.oci.scope import Scope

_SIGNED_IN = frozenset((CATALOG, Permission("project:list")))
_TOKEN_ACTIONS = {permission: action for action, permission in REPOSITORY_ACTIONS.items()}


@dataclass(frozen=True, slots=True)
class Rights:
    """The grants that reach one principal, in an order that a decision finds quickly."""

    everywhere: tuple[Grant, ...]
    by_project: dict[str, tuple[Grant, ...]]

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> Rights:
        """Sort grants that all reach the principal."""
        everywhere: list[Grant] = []
        by_project: dict[str, list[Grant]] = {}
        for grant in grants:
            (everywhere if grant.project is None else by_project.setdefault(grant.project, [])).append(grant)
        return cls(tuple(everywhere), {project: tuple(found) for project, found in by_project.items()})

    def on(self, target: Target) -> Iterable[Grant]:
        """Yield the grants that may say something about a target: those on its project first."""
        if target.project is not None:
            yield from self.by_project.get(target.project, ())
        yield from self.everywhere

    def all(self) -> Iterable[Grant]:
        """Yield every grant."""
        yield from self.everywhere
        for grants in self.by_project.values():
            yield from grants


def decide(
    principal: Principal,
    rights: Rights,
    permission: Permission,
    target: Target,
    *,
    visibility: Visibility = Visibility.PRIVATE,
    now: int = 0,
) -> Decision:
    """Decide whether `principal` may do something to a target.

    A token or a key never adds a right: it must name what is asked for, and the account behind it must have the right
    as well.

    Args:
        principal: Who asks.
        rights: What reaches the principal, see `reaches`.
        permission: What is asked for.
        target: What it would be done to.
        visibility: Who may read the target's project without a grant.
        now: Microseconds since the epoch, for grants that expire.
    """
    if principal.scopes is not None and not _named_by(principal.scopes, permission, target):
        return Decision(allowed=False, reason=f"the token does not allow {permission} on {target}")
    if principal.limits is not None and all(grant.misses(permission, target, now) for grant in principal.limits):
        return Decision(allowed=False, reason=f"the key does not allow {permission} on {target}")
    for grant in rights.on(target):
        if not grant.misses(permission, target, now):
            return Decision(allowed=True, reason=f"{grant} allows {permission}")
    return _without_grant(principal, permission, target, visibility)


def explain(
    principal: Principal,
    rights: Rights,
    permission: Permission,
    target: Target,
    *,
    visibility: Visibility = Visibility.PRIVATE,
    now: int = 0,
) -> Decision:
    """Decide as `decision` does, and say of each grant what came of it."""
    decision = decide(principal, rights, permission, target, visibility=visibility, now=now)
    trace = [f"{grant}: {grant.misses(permission, target, now) or 'allows it'}" for grant in rights.all()]
    if target.project is not None:
        trace.append(f"project {target.project} is {visibility}")
    return Decision(allowed=decision.allowed, reason=decision.reason, trace=tuple(trace))


def reaches(grant: Grant, principal: Principal) -> bool:
    """Tell whether a grant is made to this principal: directly, through a group, or through an audience."""
    if grant.audience is Audience.ANYONE:
        return True
    if grant.audience is Audience.AUTHENTICATED:
        return not principal.is_anonymous
    return principal.id is not None and (bool(grant.group) or grant.principal_id == principal.id)


def _without_grant(principal: Principal, permission: Permission, target: Target, visibility: Visibility) -> Decision:
    if permission in READING and target.project is not None:
        if visibility is Visibility.PUBLIC:
            return Decision(allowed=True, reason=f"project {target.project} is public")
        if visibility is Visibility.INTERNAL and principal.is_insider:
            return Decision(allowed=True, reason=f"project {target.project} is internal: whoever is signed in may read")
    if permission in _SIGNED_IN and target.project is None and not principal.is_anonymous:
        return Decision(allowed=True, reason="whoever is signed in may list what they may read")
    return Decision(allowed=False, reason=f"no grant allows {permission} on {target}")


def _named_by(scopes: Iterable[Scope], permission: Permission, target: Target) -> bool:
    """Tell whether a token's scopes name what is asked for. Making a project is part of pushing into it."""
    if permission == CATALOG:
        return any(s.type == REGISTRY_TYPE and s.name == CATALOG_NAME and ANY_ACTION in s.actions for s in scopes)
    wanted = _TOKEN_ACTIONS.get(PUSH if permission == CREATE_PROJECT else permission)
    if wanted is None or target.repository is None:
        return False
    return any(
        s.type == REPOSITORY_TYPE and s.name == target.repository and (wanted in s.actions or ANY_ACTION in s.actions)
        for s in scopes
    )
