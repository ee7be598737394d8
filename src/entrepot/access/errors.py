"""What access refuses, with what the challenge must say about it.

oci.errors.Unauthorized
 └── AccessRefused            nobody signed in, and not everybody may
      ├── CredentialsRefused  wrong name or password, or a header that cannot be read
      │    ├── OneTimeCodeNeeded   the password is right, and does not suffice
      │    └── SecondFactorNeeded  the password is right, and must not suffice any more
      ├── TokenRefused        error="invalid_token"
      └── ScopeInsufficient   error="insufficient_scope"
SetupError                    the registry cannot start like this
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from entrepot.oci.errors import Unauthorized
from entrepot.oci.scope import Scope

if TYPE_CHECKING:
    from entrepot.access.model import Principal


class ChallengeError(StrEnum):
    """The `error` parameter of a Bearer challenge (RFC 6750, section 3.1)."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a word of the protocol
    INSUFFICIENT_SCOPE = "insufficient_scope"


class AccessRefused(Unauthorized):
    """Authentication required."""

    challenge_error: ChallengeError | None = None

    def __init__(self, message: str | None = None, *, scopes: Iterable[Scope] = ()) -> None:
        """Keep what a token would need for this request, once for the challenge and once for the body."""
        needed = tuple(scopes)
        super().__init__(message, detail=_access_records(needed) or None, scopes=needed, error=self.challenge_error)


class CredentialsRefused(AccessRefused):
    """The user name or the password is wrong."""


class OneTimeCodeNeeded(CredentialsRefused):
    """This account needs a one-time code or a security key beside the password; programs sign in with an API key."""

    def __init__(self, principal: Principal) -> None:
        """Keep whose password it was."""
        self.principal = principal
        super().__init__()


class SecondFactorNeeded(CredentialsRefused):
    """Administrators need a second factor here: set one up with name and password, by the API or the how-to page."""


class TokenRefused(AccessRefused):
    """The token is not valid; ask for a new one."""

    challenge_error = ChallengeError.INVALID_TOKEN


class ScopeInsufficient(AccessRefused):
    """Requested access to the resource is denied."""

    challenge_error = ChallengeError.INSUFFICIENT_SCOPE


class SetupError(Exception):
    """What the configuration or the data folder says about access cannot be used; the message says what to do."""


def _access_records(scopes: Iterable[Scope]) -> list[dict[str, str]]:
    """List one record per resource and action, spelled as registry:2 spells them."""
    return [
        {"Type": scope.type, "Class": "", "Name": scope.name, "Action": action}
        for scope in scopes
        for action in scope.actions
    ]
