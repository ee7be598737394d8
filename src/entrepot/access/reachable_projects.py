"""In which projects may somebody do something: what a list is narrowed to before it is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from entrepot.access.decision import decide
from entrepot.access.model import Grant, Principal, Target
from entrepot.access.permissions import READING, Permission
from entrepot.access.policy import Policy, Standing
from entrepot.metadata import clock

#: Stands for a project that no grant is made on by name; no project has this name.
_ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The projects that a permission is given in: `names`, and those that are open to the caller without a grant."""

    everywhere: bool = False
    names: tuple[str, ...] = ()
    public: bool = False
    internal: bool = False


async def reach_of(policy: Policy, principal: Principal, permission: Permission) -> Reach:
    """Return the projects in which a principal may do something, as it is committed now."""
    if principal.scopes is not None or await policy.standing(principal, fresh=True) is not Standing.GOOD:
        return Reach()
    now = clock.now()
    if principal.limits is not None and not _everywhere(principal.limits, permission, now):
        return Reach(names=await _within_limits(policy, principal, principal.limits, permission))
    rights = await policy.rights_of(principal, fresh=True)
    if _everywhere(rights.everywhere, permission, now):
        return Reach(everywhere=True)
    reading = permission in READING
    return Reach(
        names=_named(rights.all(), permission, now),
        public=reading,
        internal=reading and principal.is_insider,
    )


def _everywhere(grants: Iterable[Grant], permission: Permission, now: int) -> bool:
    return any(grant.project is None and not grant.misses(permission, Target(_ANY), now) for grant in grants)


def _named(grants: Iterable[Grant], permission: Permission, now: int) -> tuple[str, ...]:
    names = {
        grant.project
        for grant in grants
        if grant.project is not None and not grant.misses(permission, Target(grant.project), now)
    }
    return tuple(sorted(names))


async def _within_limits(
    policy: Policy, principal: Principal, limits: Iterable[Grant], permission: Permission
) -> tuple[str, ...]:
    """Of the few projects that a key names, return those where the account behind it has the right, too."""
    rights = await policy.rights_of(principal, fresh=True)
    now = clock.now()
    found = []
    for name in _named(limits, permission, now):
        visibility = await policy.visibility(name, fresh=True)
        if decide(principal, rights, permission, Target(name), visibility=visibility, now=now).allowed:
            found.append(name)
    return tuple(found)
