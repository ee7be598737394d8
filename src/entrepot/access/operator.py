"""Whoever works on the data folder itself: no right can be kept from them, and the audit log says so."""

from __future__ import annotations

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Decision, Principal, PrincipalKind, Target
from entrepot.access.permissions import Permission


class OperatorAuthenticator:
    """Takes every request as the operator's: for requests that never cross a network."""

    def __init__(self, name: str) -> None:
        """Keep the name of the operating system's account, for the audit log."""
        self._principal = Principal(kind=PrincipalKind.OPERATOR, name=name)

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:  # noqa: ARG002 - the port's signature
        """Return the operator."""
        return self._principal


class OperatorAuthorizer(Authorizer):
    """Allows everything."""

    async def allows(self, principal: Principal, permission: Permission, target: Target) -> Decision:  # noqa: ARG002 - the signature of what it replaces
        """Return a yes."""
        return Decision(allowed=True, reason="the command line works on the data folder itself")

    async def explain(self, principal: Principal, permission: Permission, target: Target) -> Decision:
        """Explain other principals' rights, and the operator's by one sentence."""
        if principal.kind is PrincipalKind.OPERATOR:
            return await self.allows(principal, permission, target)
        return await super().explain(principal, permission, target)
