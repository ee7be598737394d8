"""JSON Web Tokens, read with suspicion (RFC 7515, RFC 7519; Docker token specification, "JWT").

The header is looked at before any key is: it may name a key, never bring one along (CVE-2025-24976), and the
algorithms are those the verifier knows, never those the token wishes for.
"""

from __future__ import annotations

import base64
import binascii
import json
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from entrepot.access.errors import TokenRefused
from entrepot.oci import strict_json
from entrepot.oci.scope import Scope

Key = ECKey | OKPKey | RSAKey
Claims = Mapping[str, object]

#: Longer ones are not looked at; the HTTP layer's limit on headers lies in the same region.
MAX_TOKEN_LENGTH = 64 * 1024
_ES256 = ECDSA(SHA256())
#: Bytes of each of the two numbers of a signature on P-256.
_P256_BYTES = 32
#: Header fields that bring a key or the way to one, or that change what the signature covers.
_REFUSED_FIELDS = frozenset({"jwk", "jku", "x5u", "crit", "b64", "zip", "enc"})
_MAX_SCOPES = 1_000
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
#: Every algorithm whose signer keeps a secret that the verifier does not have.
ALGORITHMS = (*_RSA, *_EC.values(), "EdDSA")


class _Registry(jws.JWSRegistry):
    """The library's rules with room for certificate chains in the header."""

    max_header_length = MAX_TOKEN_LENGTH
    max_payload_length = MAX_TOKEN_LENGTH
    max_signature_length = 2 * 1024


def read_header(token: str) -> dict[str, object]:
    """Read a token's header, which nobody has vouched for yet.

    Raises:
        TokenRefused: Not a signed token, or one whose header tries to bring its own key.
    """
    if len(token) > MAX_TOKEN_LENGTH or token.count(".") != 2 or not token.isascii():  # noqa: PLR2004 - header.payload.signature
        raise TokenRefused("the token is malformed: it is no token of this registry, and no whole API key")
    header = _read_object(token.partition(".")[0])
    refused = _REFUSED_FIELDS.intersection(header)
    if refused:
        raise TokenRefused(f"the token's header has {', '.join(sorted(refused))}, which this registry does not accept")
    return header


def looks_like_token(text: str) -> bool:
    """Tell whether a text may be a signed token at all: nobody's password begins and is built like that."""
    return text.startswith("eyJ") and text.count(".") == 2  # noqa: PLR2004 - header.payload.signature


def unverified_issuer(token: str) -> str:
    """Return whom a token names as its issuer, which nobody has vouched for yet: whom to ask for keys.

    Raises:
        TokenRefused: Not a signed token, one whose header tries to bring its own key, or one that names no issuer.
    """
    read_header(token)
    issuer = text(_read_object(token.split(".")[1]), "iss")
    if not issuer:
        raise TokenRefused("the token names no issuer")
    return issuer


def verified_claims(token: str, key: Key, algorithms: Collection[str]) -> dict[str, object]:
    """Check the signature and return the claims.

    Raises:
        TokenRefused: Signed with another key, or by an algorithm that is not one of `algorithms`.
    """
    if not algorithms:  # the library would take an empty list for its own default
        raise TokenRefused("the token's key fits none of the algorithms that this registry accepts")
    registry = _Registry(algorithms=list(algorithms), strict_check_header=False)
    try:
        with quietly():
            content = jws.deserialize_compact(token, key, algorithms=list(algorithms), registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefused("the token's signature is not valid") from error
    return _as_object(content.payload or b"")


def algorithms_for(key: Key) -> Sequence[str]:
    """Return the algorithms that fit a key, so that none is used with a key of another kind."""
    if isinstance(key, ECKey):
        return (_EC.get(str(key.get("crv")), ""),)
    if isinstance(key, OKPKey):
        return ("EdDSA",)
    return _RSA


def sign(claims: Claims, key: ECKey | OKPKey, key_id: str, algorithm: str) -> str:
    """Sign a token with ES256 or EdDSA (RFC 7518, section 3.4; RFC 8037, section 3.1).

    The library would read key and header anew for each token, which costs as much as the signature.
    """
    signed = f"{_head(key_id, algorithm)}.{_segment(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{signed}.{_segment(_signature(signed.encode(), key.private_key))}"


@lru_cache(maxsize=16)
def _head(key_id: str, algorithm: str) -> str:
    return _segment(json.dumps({"typ": "JWT", "alg": algorithm, "kid": key_id}).encode())


def _signature(data: bytes, key: object) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(data)
    assert isinstance(key, EllipticCurvePrivateKey)  # the keys we make are of two kinds
    numbers = decode_dss_signature(key.sign(data, _ES256))
    return b"".join(number.to_bytes(_P256_BYTES) for number in numbers)


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the library from warning of short RSA keys and of the name EdDSA (RFC 9864): the keys are others' choice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        yield


def check_lifetime(claims: Claims, *, now: float, leeway: float, grace: float = 0) -> float:
    """Return the time of expiry, if the token may be used now.

    Raises:
        TokenRefused: Expired by more than leeway and grace, or not valid yet.
    """
    expires = number(claims, "exp")
    if now >= expires + leeway + grace:
        raise TokenRefused("the token has expired")
    if "nbf" in claims and now < number(claims, "nbf") - leeway:
        raise TokenRefused("the token is not valid yet; do the clocks agree?")
    return expires


def number(claims: Claims, name: str) -> float:
    """Return a claim that is a time.

    Raises:
        TokenRefused: It is missing or no number.
    """
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"the token's claim {name} is missing or no number")
    return float(value)


def text(claims: Claims, name: str) -> str:
    """Return a claim that is text; empty when it is missing.

    Raises:
        TokenRefused: It is something else.
    """
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise TokenRefused(f"the token's claim {name} is no text")
    return value


def has_audience(claims: Claims, service: str) -> bool:
    """Tell whether a token is meant for `service`: the claim is one name or a list of names."""
    audience = claims.get("aud")
    return audience == service or (isinstance(audience, list) and service in audience)


def scopes_of(claims: Claims) -> tuple[Scope, ...]:
    """Return what the claim `access` allows: a list of type, name and actions.

    Raises:
        TokenRefused: The claim has another shape.
    """
    access = claims.get("access") or []
    if not isinstance(access, list) or len(access) > _MAX_SCOPES:
        raise TokenRefused("the token's claim access is not a list of scopes")
    return tuple(_scope(entry) for entry in access)


def _scope(entry: Any) -> Scope:
    match entry:
        case {"type": str(kind), "name": str(name), "actions": [*actions]} if all(isinstance(a, str) for a in actions):
            return Scope(kind, name, tuple(actions))
        case {"type": str(kind), "name": str(name), "actions": None}:
            return Scope(kind, name, ())
    raise TokenRefused("the token's claim access is not a list of scopes")


def _read_object(segment: str) -> dict[str, object]:
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefused("the token is malformed") from None
    return _as_object(raw)


def _as_object(raw: bytes) -> dict[str, object]:
    try:
        value = strict_json.loads(raw, max_depth=16)
    except strict_json.JsonInvalid:
        raise TokenRefused("the token is malformed") from None
    if not isinstance(value, dict):
        raise TokenRefused("the token is malformed")
    return value
