"""Whoever works on the data folder itself: no right can be kept from them, and the audit log says so."""

from __future__ import annotations

from entrepot.access.model import Principal, PrincipalKind


class OperatorAuthenticator:
    """Takes every request as the operator's: for requests that never cross a network."""

    def __init__(self, name: str) -> None:
        """Keep the name of the operating system's account, for the audit log."""
        self._principal = Principal(kind=PrincipalKind.OPERATOR, name=name)

    async def authenticate(self, authorization: str | None, client: str, *, grace: float = 0) -> Principal:  # noqa: ARG002 - the port's signature
        """Return the operator."""
        return self._principal
