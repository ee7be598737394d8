"""Asking for a decision, and turning a no into the challenge that helps the client on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from entrepot.access.decide import decide, reaches
from entrepot.access.errors import AccessRefused, ScopeInsufficient, TokenRefused
from entrepot.access.model import (
    ANONYMOUS,
    ANY_RESOURCE,
    Action,
    Audience,
    Decision,
    Principal,
    project_resource,
    scope_for,
)
from entrepot.access.policy import Policy, needs_fresh
from entrepot.oci.reference import RepositoryName
from entrepot.oci.scope import Scope


class Authorizer:
    """Says what a principal may do."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def now(self) -> Authorizer:
        """Return one that reads each right once, and as it is committed now: for many decisions in one request."""
        return Authorizer(self._policy.now())

    async def allows(self, principal: Principal, action: Action, name: RepositoryName | None) -> Decision:
        """Decide one action; `name` None means the registry as a whole."""
        fresh = needs_fresh(action)
        decision = await self._decide(principal, action, name, fresh=fresh)
        if decision.allowed or fresh:
            return decision
        return await self._decide(principal, action, name, fresh=True)

    async def require(
        self,
        principal: Principal,
        actions: Action | Sequence[Action],
        name: RepositoryName | None,
        *,
        source: RepositoryName | None = None,
    ) -> None:
        """Go on only if all of `actions` are allowed on `name`, and pulling from `source`, where a mount names one.

        Raises:
            AccessRefused: Nobody has signed in, and not everybody may do this.
            TokenRefused: The account behind the credential was disabled or changed since.
            ScopeInsufficient: The principal may not, whether or not the repository exists.
        """
        wanted = (actions,) if isinstance(actions, Action) else actions
        asked = [(action, name) for action in wanted]
        if source is not None:
            asked.append((Action.PULL, source))
        for action, resource in asked:
            if not (await self.allows(principal, action, resource)).allowed:
                scopes = [scope_for(name, wanted)]
                if source is not None:
                    scopes.append(scope_for(source, (Action.PULL,)))
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
            if (await self.allows(principal.beyond_token(), Action.PULL, name)).allowed:
                return name
        return None

    async def readable_projects(self, principal: Principal) -> Collection[str] | None:
        """Return the projects whose repositories the principal may see in lists; None means all."""
        grants = [g for g in await self._policy.grants_for(principal, fresh=True) if reaches(g, principal)]
        if any(grant.covers(Action.PULL, None) for grant in grants):
            return None
        prefix = project_resource("")
        granted = {
            grant.resource.removeprefix(prefix)
            for grant in grants
            if grant.resource != ANY_RESOURCE and grant.covers(Action.PULL, grant.resource.removeprefix(prefix))
        }
        return granted.union(await self._policy.public_projects())

    async def _decide(
        self, principal: Principal, action: Action, name: RepositoryName | None, *, fresh: bool
    ) -> Decision:
        if not await self._policy.is_current(principal, fresh=fresh):
            return Decision(allowed=False, reason=f"the credential of {principal.name} was revoked")
        return decide(
            principal,
            await self._policy.grants_for(principal, fresh=fresh),
            project_public=name is not None and await self._policy.is_public(name.project, fresh=fresh),
            action=action,
            name=name,
        )

    async def _refusal(self, principal: Principal, scopes: Sequence[Scope]) -> AccessRefused:
        if not await self._policy.is_current(principal):
            return TokenRefused(scopes=scopes)
        if principal.is_anonymous and principal.scopes is None:
            return AccessRefused(scopes=scopes)
        return ScopeInsufficient(scopes=scopes)

    async def _is_open(self) -> bool:
        """Tell whether anonymous callers were granted anything beside public projects."""
        for fresh in (False, True):
            grants = await self._policy.grants_for(ANONYMOUS, fresh=fresh)
            if any(grant.audience is Audience.ANYONE for grant in grants):
                return True
        return False
