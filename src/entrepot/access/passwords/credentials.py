"""The Authorization header, read strictly (RFC 7617, RFC 6750)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from entrepot.access.errors import CredentialsRefused


@dataclass(frozen=True, slots=True)
class Basic:
    """A user name and a password, and the one-time code of a form that asks for one; neither shows in a repr.

    With `fresh` the account counts as it is now, not as it was some seconds ago: for forms, which people fill in right
    after they have changed something about it.
    """

    username: str
    password: str = field(repr=False)
    one_time: str = field(default="", repr=False)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: str = field(repr=False)


Credential = Basic | Bearer


def parse_authorization(value: str | None) -> Credential | None:
    """Read an Authorization header; None when there is none.

    Raises:
        CredentialsRefused: The header is neither Basic nor Bearer, or is malformed.
    """
    if value is None or not value.strip():
        return None
    scheme, _, rest = value.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return parse_basic(rest.strip())
        case "bearer" if rest.strip():
            return Bearer(rest.strip())
    raise CredentialsRefused("the Authorization header is neither Basic nor Bearer")


def parse_basic(encoded: str) -> Basic:
    """Read `user:password` from base64; the password may hold colons, the name may not (RFC 7617, section 2)."""
    try:
        # Python 3.11 and 3.12 overlook one sign of padding too many.
        text = base64.b64decode(encoded if len(encoded) % 4 == 0 else "!", validate=True).decode()
    except (binascii.Error, ValueError):
        raise CredentialsRefused("the Basic credentials are not base64 of UTF-8 text") from None
    username, colon, password = text.partition(":")
    if not colon or "\0" in text:
        raise CredentialsRefused("the Basic credentials are not of the form user:password")
    return Basic(username, password)
