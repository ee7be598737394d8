"""The names that token services give to a public key in the `kid` of a token's header."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve, EllipticCurvePublicKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from entrepot.access.tokens.jwt import Key, quietly

_LIBTRUST_BYTES = 30
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def key_ids(key: Key, public: PublicKeyTypes) -> Iterator[str]:
    """List the ids under which a token may name this key."""
    yield key.thumbprint()
    yield libtrust_id(public)
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name in _CURVE_NAMES:
        yield curve_id(public.curve)


def as_key(public: PublicKeyTypes) -> Key:
    """Turn a public key into the form that checks signatures.

    Raises:
        ValueError: Of a kind that no algorithm of ours uses.
    """
    match public:
        case RSAPublicKey():
            with quietly():
                return RSAKey.import_key(public)
        case EllipticCurvePublicKey():
            return ECKey.import_key(public)
        case Ed25519PublicKey():
            return OKPKey.import_key(public)
    raise ValueError("only RSA, elliptic-curve and Ed25519 keys can sign tokens")


def libtrust_id(public: PublicKeyTypes) -> str:
    """Return registry:2's id: 240 bits of the key's SHA-256 in base32, in twelve groups of four."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:_LIBTRUST_BYTES]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def curve_id(curve: EllipticCurve) -> str:
    """Return registry:3.0's id of an elliptic-curve key, which it takes from the curve's base point by mistake.

    Token services that copied that code send this id. It says which curve and no more; what proves a token is still
    the signature.
    """
    base_point = derive_private_key(1, curve).public_key().public_numbers()
    members = {"crv": _CURVE_NAMES[curve.name], "kty": "EC", "x": _number(base_point.x), "y": _number(base_point.y)}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()
