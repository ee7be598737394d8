"""Whom a security key signs for, and what a browser brings from it; `webauthn` looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """Whom a key signs for."""

    host: str  #: the RP ID
    origin: str  #: of the pages that may ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a browser says of a new key, each in base64url."""

    client_data: str = field(repr=False)
    attestation_object: str = field(repr=False)
    transports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a browser says that a key has signed, each in base64url."""

    credential: str
    client_data: str = field(repr=False)
    authenticator_data: str = field(repr=False)
    signature: str = field(repr=False)
    user_handle: str = ""
