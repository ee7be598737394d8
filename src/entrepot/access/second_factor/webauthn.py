"""Security keys as browsers reach them (W3C Web Authentication, level 3): what they are asked, and what they answer.

The key signs what we chose (the challenge), and the browser adds which page asked (the origin): so nobody can use an
answer twice, and no page that only looks like ours gets one that is good here. Imported when somebody uses a key, as
few do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2.cbor import decode, encode
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialRpEntity,
)

from entrepot.access.second_factor.security_key_answers import Assertion, Registration, RelyingParty
from entrepot.metadata.people.security_keys import SecurityKeyRecord

#: What a key may sign with (COSE): ES256, EdDSA and, for Windows, RS256.
ALGORITHMS: Final = (-7, -8, -257)
#: Milliseconds that a browser waits for its owner.
_TIMEOUT: Final = 300_000
_LONGEST_CREDENTIAL: Final = 1023
_LONGEST_PUBLIC_KEY: Final = 1024
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
#: Everything that reading what somebody made up may raise.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    NotImplementedError,
    struct.error,
    UnsupportedAlgorithm,
)


class AnswerRefused(Exception):
    """What the browser sent is no answer of such a key to this question; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A key that was registered."""

    credential: str
    public_key: str
    sign_count: int
    aaguid: str
    backed_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a key said when it signed."""

    sign_count: int
    backed_up: bool


def creation_options(
    party: RelyingParty, account: int, name: str, challenge: bytes, known: Sequence[SecurityKeyRecord]
) -> dict[str, Any]:
    """Return what a browser needs to register a key (section 5.4), in JSON."""
    return {
        "rp": {"id": party.host, "name": party.host},
        "user": {"id": _handle(account), "name": name, "displayName": name},
        "challenge": to_text(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": _TIMEOUT,
        "excludeCredentials": _descriptors(known),
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
        "attestation": "none",
    }


def request_options(party: RelyingParty, challenge: bytes, known: Sequence[SecurityKeyRecord]) -> dict[str, Any]:
    """Return what a browser needs to ask for a signature of one of the keys (section 5.5), in JSON."""
    return {
        "challenge": to_text(challenge),
        "timeout": _TIMEOUT,
        "rpId": party.host,
        "allowCredentials": _descriptors(known),
        "userVerification": "preferred",
    }


def challenge_of(client_data: str) -> bytes:
    """Return the challenge that an answer is for.

    Raises:
        AnswerRefused: It cannot be read.
    """
    try:
        return bytes(CollectedClientData(to_bytes(client_data)).challenge)
    except _UNREADABLE:
        raise _unreadable() from None


def check_registration(party: RelyingParty, challenge: bytes, answer: Registration) -> NewCredential:
    """Return the key that a browser has registered (section 7.1); who made it is not asked.

    Raises:
        AnswerRefused: The answer is to another question, for another site, or of a key that we cannot use.
    """
    response = {"clientDataJSON": answer.client_data, "attestationObject": answer.attestation_object}
    try:
        _require_top_level(answer.client_data)
        attestation = decode(to_bytes(answer.attestation_object))
        credential = to_text(_credential_of(attestation))
        shown = {"id": credential, "rawId": credential, "type": "public-key", "response": response}
        data = _server(party).register_complete(_state(challenge), shown)
        found = data.credential_data
        if found is None:
            raise ValueError("no key")
        _require_usable(found)
    except _UNREADABLE as error:
        raise _refused(error) from None
    return NewCredential(
        credential=to_text(found.credential_id),
        public_key=to_text(encode(found.public_key)),
        sign_count=data.counter,
        aaguid=str(found.aaguid),
        backed_up=data.is_backed_up(),
    )


def check_assertion(party: RelyingParty, challenge: bytes, answer: Assertion, key: SecurityKeyRecord) -> Signed:
    """Return what a key said when it signed (section 7.2); whether it counts on is for the caller to see.

    Raises:
        AnswerRefused: It did not sign this, or for another site.
    """
    response = {
        "clientDataJSON": answer.client_data,
        "authenticatorData": answer.authenticator_data,
        "signature": answer.signature,
    }
    shown = {"id": answer.credential, "rawId": answer.credential, "type": "public-key", "response": response}
    try:
        _require_top_level(answer.client_data)
        if answer.user_handle not in ("", _handle(key.principal_id)):
            raise ValueError("it is another account's key")
        _server(party).authenticate_complete(_state(challenge), [_stored(key)], shown)
        data = AuthenticatorData(to_bytes(answer.authenticator_data))
    except _UNREADABLE as error:
        raise _refused(error) from None
    return Signed(sign_count=data.counter, backed_up=data.is_backed_up())


def to_text(data: bytes) -> str:
    """Return base64url without padding, as browsers write it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """Read base64url without padding.

    Raises:
        ValueError: It is none.
    """
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _server(party: RelyingParty) -> Fido2Server:
    return Fido2Server(
        PublicKeyCredentialRpEntity(id=party.host, name=party.host),
        verify_origin=lambda origin: origin == party.origin,
    )


def _state(challenge: bytes) -> dict[str, Any]:
    return {"challenge": to_text(challenge), "user_verification": "preferred"}


def _handle(account: int) -> str:
    """Return what a key calls the account (section 14.6.1): nothing that tells who it is."""
    return to_text(hashlib.sha256(f"account {account}".encode()).digest())


def _descriptors(known: Sequence[SecurityKeyRecord]) -> list[dict[str, Any]]:
    return [
        {"type": "public-key", "id": key.credential, "transports": key.transports.split(",") if key.transports else []}
        for key in known
    ]


def _require_top_level(client_data: str) -> None:
    """Refuse what a page of ours would have asked within a page of another site."""
    document = json.loads(to_bytes(client_data))
    if document.get("crossOrigin", False) is not False:
        raise ValueError("another site's page was around it")


def _credential_of(attestation: Any) -> bytes:
    found = AuthenticatorData(attestation["authData"]).credential_data
    if found is None or not 0 < len(found.credential_id) <= _LONGEST_CREDENTIAL:
        raise ValueError("no key")
    return found.credential_id


def _require_usable(found: AttestedCredentialData) -> None:
    """Refuse a key whose signatures could never be checked."""
    key = found.public_key
    if key.ALGORITHM not in ALGORITHMS or len(encode(key)) > _LONGEST_PUBLIC_KEY:
        raise ValueError("it signs with what was not asked for")
    try:
        key.verify(b"message", bytes(64))
    except InvalidSignature:
        return
    raise ValueError("its public key is none")


def _stored(key: SecurityKeyRecord) -> AttestedCredentialData:
    public_key = CoseKey.parse(decode(to_bytes(key.public_key)))  # type: ignore[arg-type] # a map, as it was encoded
    aaguid = bytes.fromhex(key.aaguid.replace("-", ""))
    return AttestedCredentialData.create(aaguid, to_bytes(key.credential), public_key)


def _unreadable() -> AnswerRefused:
    return AnswerRefused("what the browser sent cannot be read; try again")


def _refused(error: Exception) -> AnswerRefused:
    """Say why in the library's or our own words where they tell something; they hold nothing of what was sent."""
    reason = str(error).rstrip(".") if type(error) is ValueError else ""
    return AnswerRefused(f"the key's answer does not count: {reason or 'it cannot be read'}")
