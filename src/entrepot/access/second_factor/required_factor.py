"""Of whom a second factor is required that they lack: administrators, where the configuration says so.

It is asked whenever a right is decided, so it holds for what a password opened before, too: for sessions and tokens of
an account that becomes an administrator's, or that was one before the setting was made. Whoever has set a second factor
up has proven it with whatever still counts, since setting it up ends all that was opened before.
"""

from __future__ import annotations

from typing import Final

from entrepot.access.decision import decide
from entrepot.access.model import SYSTEM_TARGET, Principal, PrincipalKind, Visibility
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.metadata import clock

#: Whoever may do this administers the registry, by whatever role.
_ADMINISTER: Final = Permission("configuration:update")


class RequiredFactor:
    """Tells who lacks it."""

    def __init__(self, factors: SecondFactors) -> None:
        self._factors = factors

    async def lacks(self, policy: Policy, principal: Principal, *, fresh: bool) -> bool:
        """Tell whether a second factor is required of somebody who has none.

        Keys and robots are for programs; providers ask the people whom they vouch for.

        Args:
            policy: What knows the rights.
            principal: Whose.
            fresh: Whether rights are asked as they are committed now.
        """
        if principal.kind is not PrincipalKind.USER or principal.key is not None or principal.vouched:
            return False
        return await _administers(policy, principal.beyond_token(), fresh=fresh) and not (
            await self._factors.is_on(principal)
        )


async def _administers(policy: Policy, person: Principal, *, fresh: bool) -> bool:
    """Tell whether somebody may change what holds for the whole registry."""
    rights = await policy.rights_on(person, None, fresh=fresh)
    return decide(person, rights, _ADMINISTER, SYSTEM_TARGET, visibility=Visibility.PRIVATE, now=clock.now()).allowed
