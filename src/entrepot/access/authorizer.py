"""Asking for a decision, and turning a no into the challenge that helps the client on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from entrepot.access.decision import decide, explain
from entrepot.access.errors import AccessRefused, ScopeInsufficient, TokenRefused
from entrepot.access.grantable_rights import lacking
from entrepot.access.model import (
    ANONYMOUS,
    Audience,
    Decision,
    Grant,
    Principal,
    Target,
    scope_for,
)
from entrepot.access.permissions import PULL, Permission
from entrepot.access.policy import Policy, Standing, needs_fresh
from entrepot.access.reachable_projects import reach_of
from entrepot.access.readable_repositories import readable
from entrepot.metadata import clock
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope
from entrepot.registry.catalog import Visible

#: What people read who signed in with a password that somebody else made.
MUST_CHANGE = "the password was set by somebody else and must be changed before anything else is done with it"
#: What administrators read who have not set up the second factor that is required of them.
MUST_ENROL = "administrators need a second factor here; set one up before anything else is done with the password"


class Requirement(Protocol):
    """Tells who lacks what is required beside the password; see `RequiredFactor.lacks`."""

    async def __call__(self, policy: Policy, principal: Principal, *, fresh: bool) -> bool:
        """Tell whether somebody does."""
        ...


class Authorizer:
    """Says what a principal may do."""

    def __init__(self, policy: Policy, lacks: Requirement | None = None) -> None:
        """Keep what to ask; `lacks` is set where something is required beside the password."""
        self._policy = policy
        self._lacks = lacks

    def now(self) -> Authorizer:
        """Return one that reads each right once, and as it is committed now: for many decisions in one request."""
        return Authorizer(self._policy.now(), self._lacks)

    async def read_ahead(self, principal: Principal, names: Collection[str]) -> None:
        """Read what decisions on several projects need at once, instead of one after the other."""
        await self._policy.read_ahead(principal, names)

    async def allows(self, principal: Principal, permission: Permission, target: Target) -> Decision:
        """Decide whether a principal may do one thing."""
        fresh = needs_fresh(permission)
        decision = await self._decide(principal, permission, target, fresh=fresh)
        if decision.allowed or fresh:
            return decision
        return await self._decide(principal, permission, target, fresh=True)

    async def allows_somewhere(self, principal: Principal, permission: Permission) -> bool:
        """Tell whether a principal may do something in any project by a grant, as it is committed now."""
        reach = await reach_of(self._policy, principal, permission)
        return reach.everywhere or bool(reach.names)

    async def recalls(self, principal: Principal, permission: Permission, target: Target) -> Decision | None:
        """Decide on what was read a few seconds ago; None when nothing was.

        This is for what is decided again when it is used, such as tokens.
        """
        if not self._policy.remembers(principal, target.project):
            return None
        return await self._decide(principal, permission, target, fresh=False)

    async def explain(self, principal: Principal, permission: Permission, target: Target) -> Decision:
        """Decide as `allows` does, on what is committed now, and say of each grant what came of it."""
        refused = await self._worthless(principal, fresh=True)
        if refused is not None:
            return refused
        return explain(
            principal,
            await self._policy.rights_of(principal, fresh=True),
            permission,
            target,
            visibility=await self._policy.visibility(target.project, fresh=True),
            now=clock.now(),
        )

    async def lacks(self, giver: Principal, gift: Grant) -> frozenset[Permission]:
        """Return the permissions that a principal would give without having them, see `grantable_rights`."""
        if await self._worthless(giver, fresh=True) is not None:
            return gift.permissions
        return lacking(
            giver,
            await self._policy.rights_of(giver, fresh=True),
            gift,
            until=await self._policy.end_of(giver),
        )

    async def require(
        self,
        principal: Principal,
        permissions: Permission | Sequence[Permission],
        name: RepositoryName | None,
        *,
        tag: str | None = None,
        source: RepositoryName | None = None,
    ) -> None:
        """Go on only if all permissions are given on `name`, and pulling from `source`, where a mount names one.

        Args:
            principal: Who asks.
            permissions: What is asked for.
            name: The repository; None means the registry as a whole.
            tag: The tag that is read, set or removed, if the request names one.
            source: The repository that a blob is mounted from.

        Raises:
            AccessRefused: Nobody has signed in, and not everybody may do this.
            TokenRefused: The account behind the credential was disabled or changed since.
            ScopeInsufficient: The principal may not, whether or not the repository exists.
        """
        wanted = (permissions,) if isinstance(permissions, Permission) else permissions
        target = Target.of(name, tag)
        asked = [(permission, target) for permission in wanted]
        if source is not None:
            asked.append((PULL, Target.of(source)))
        for permission, resource in asked:
            if not (await self.allows(principal, permission, resource)).allowed:
                scopes = [scope_for(name, wanted)]
                if source is not None:
                    scopes.append(scope_for(source, (PULL,)))
                raise await self._refusal(principal, scopes)

    async def require_sign_in(self, principal: Principal) -> None:
        """Go on if somebody has signed in, or needs not to: what `GET /v2/` tells a client.

        Raises:
            AccessRefused: Nobody has signed in.
            TokenRefused: The account behind the credential was disabled or changed since.
        """
        if not await self._policy.is_current(principal):
            raise TokenRefused
        if principal.is_anonymous and principal.scopes is None and not await self._is_open():
            raise AccessRefused

    async def first_readable(self, principal: Principal, names: Iterable[RepositoryName]) -> RepositoryName | None:
        """Return the first repository that the person behind the credential may read.

        A client that mounts a blob without saying from where cannot have asked for a scope on the place where it lies.
        So the rights of the account count here, not the scopes it happened to ask for; a token that another service
        signed is all we know of its bearer, and stays the limit.
        """
        for name in names:
            if (await self.allows(principal.beyond_token(), PULL, Target.of(name))).allowed:
                return name
        return None

    async def readable(self, principal: Principal) -> Visible:
        """Return the repositories that the principal may see in lists."""
        rights = await self._policy.rights_of(principal, fresh=True)
        return readable(principal, rights, await self._policy.open_projects(principal), clock.now())

    async def _decide(self, principal: Principal, permission: Permission, target: Target, *, fresh: bool) -> Decision:
        refused = await self._worthless(principal, fresh=fresh)
        if refused is not None:
            return refused
        return decide(
            principal,
            await self._policy.rights_on(principal, target.project, fresh=fresh),
            permission,
            target,
            visibility=await self._policy.visibility(target.project, fresh=fresh),
            now=clock.now(),
        )

    async def must_change_password(self, principal: Principal) -> bool:
        """Tell whether the password that signed in is good for nothing but changing it."""
        return await self._policy.standing(principal) is Standing.MUST_CHANGE

    async def _worthless(self, principal: Principal, *, fresh: bool) -> Decision | None:
        """Return the refusal of a credential that nothing can be done with."""
        match await self._policy.standing(principal, fresh=fresh):
            case Standing.REVOKED:
                return Decision(allowed=False, reason=f"the credential of {principal.name} was revoked")
            case Standing.MUST_CHANGE:
                return Decision(allowed=False, reason=f"{principal.name}: {MUST_CHANGE}")
        if await self.is_unproven(principal, fresh=fresh):
            return Decision(allowed=False, reason=f"{principal.name}: {MUST_ENROL}")
        return None

    async def is_unproven(self, principal: Principal, *, fresh: bool = True) -> bool:
        """Tell whether somebody lacks the second factor that is required, also if it was not when they signed in."""
        if principal.unproven:
            return True
        return self._lacks is not None and await self._lacks(self._policy, principal, fresh=fresh)

    async def _refusal(self, principal: Principal, scopes: Sequence[Scope]) -> AccessRefused:
        match await self._policy.standing(principal):
            case Standing.REVOKED:
                return TokenRefused(scopes=scopes)
            case Standing.MUST_CHANGE:
                return ScopeInsufficient(MUST_CHANGE, scopes=scopes)
        if await self.is_unproven(principal):
            return ScopeInsufficient(MUST_ENROL, scopes=scopes)
        if principal.is_anonymous and principal.scopes is None:
            return AccessRefused(scopes=scopes)
        return ScopeInsufficient(scopes=scopes)

    async def _is_open(self) -> bool:
        """Tell whether anonymous callers were granted anything beside public projects."""
        for fresh in (False, True):
            rights = await self._policy.rights_of(ANONYMOUS, fresh=fresh)
            if any(grant.audience is Audience.ANYONE for grant in rights.all()):
                return True
        return False
