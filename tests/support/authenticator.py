"""A security key in software: it makes key pairs and signs, as a browser brings it (W3C Web Authentication, section 6).

What it says is put together here byte by byte, so that a test can let it say anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
ORIGIN = "https://registry.test"


def to_text(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """Read base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """Write numbers, bytes, texts, lists and maps in CBOR (RFC 8949)."""
    match value:
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(map(cbor, value))
    return _head(5, len(value)) + b"".join(cbor(key) + cbor(each) for key, each in value.items())


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    if number < 256:
        return bytes([kind << 5 | 24, number])
    return struct.pack(">BH", kind << 5 | 25, number)


@dataclass
class SoftKey:
    """A key that holds one key pair, and the browser that speaks for it."""

    algorithm: int = -7  #: ES256; -8 is EdDSA
    counts: bool = True  #: passkeys do not
    flags: int = PRESENT | VERIFIED
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: int = 0
    aaguid: bytes = bytes(range(16))
    _key: Any = None

    def __post_init__(self) -> None:
        self._key = Ed25519PrivateKey.generate() if self.algorithm == -8 else ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any], *, origin: str = ORIGIN, **says: Any) -> dict[str, Any]:
        """Register: return what the browser sends. `says` are fields that it gets wrong."""
        client = self._client_data("webauthn.create", options, origin, says)
        data = self._data(says.get("host") or options["rp"]["id"], ATTESTED, says) + self._attested(says)
        statement = {"fmt": "none", "attStmt": {}, "authData": data}
        return {
            "client_data": to_text(client),
            "attestation_object": to_text(says.get("attestation") or cbor(statement)),
            "transports": ["usb", "nfc"],
        }

    def get(self, options: dict[str, Any], *, origin: str = ORIGIN, **says: Any) -> dict[str, str]:
        """Sign: return what the browser sends. `says` are fields that it gets wrong."""
        client = self._client_data("webauthn.get", options, origin, says)
        data = self._data(says.get("host") or options["rpId"], 0, says)
        signed = self.sign(data + hashlib.sha256(client).digest())
        return {
            "credential": to_text(says.get("credential") or self.credential),
            "client_data": to_text(client),
            "authenticator_data": to_text(data),
            "signature": to_text(says.get("signature") or signed),
            "user_handle": says.get("user_handle", ""),
        }

    def sign(self, message: bytes) -> bytes:
        """Sign anything."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return bytes(self._key.sign(message, ec.ECDSA(SHA256())))

    def public_key(self) -> dict[int, Any]:
        """Return the public key in COSE."""
        public = self._key.public_key()
        if self.algorithm == -8:
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes(Encoding.Raw, PublicFormat.Raw)}
        numbers = public.public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}

    def _client_data(self, kind: str, options: dict[str, Any], origin: str, says: dict[str, Any]) -> bytes:
        document = {
            "type": says.get("type", kind),
            "challenge": says.get("challenge", options["challenge"]),
            "origin": origin,
            "crossOrigin": says.get("cross_origin", False),
        }
        return json.dumps(document).encode()

    def _data(self, host: str, more: int, says: dict[str, Any]) -> bytes:
        self.count += self.counts
        flags = says.get("flags", self.flags) | more
        return hashlib.sha256(host.encode()).digest() + struct.pack(">BI", flags, says.get("count", self.count))

    def _attested(self, says: dict[str, Any]) -> bytes:
        credential = says.get("credential", self.credential)
        public = cbor(says.get("public_key") or self.public_key())
        return self.aaguid + struct.pack(">H", len(credential)) + credential + public
