"""Keys, certificates and tokens of a token service that is not ours."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from entrepot.access.tokens.jwt import quietly

NOW = 1_700_000_000


def at(seconds: float) -> dt.datetime:
    """Return a time relative to NOW."""
    return dt.datetime.fromtimestamp(NOW + seconds, dt.UTC)


def new_key(kind: str = "EC") -> Any:
    """Make a private key."""
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Party:
    """A private key with a certificate."""

    name: str
    key: Any = field(default_factory=new_key)
    issuer: Party | None = None  #: None: signed by itself
    authority: bool = True
    path_length: int | None = None
    lifetime: tuple[float, float] = (-3600, 3600)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()

    @cached_property
    def certificate(self) -> x509.Certificate:
        """Make the certificate."""
        issuer = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.name))
            .issuer_name(_name(issuer.name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at(self.lifetime[0]))
            .not_valid_after(at(self.lifetime[1]))
            .add_extension(x509.BasicConstraints(ca=self.authority, path_length=self.path_length), critical=True)
        )
        for extension, critical in self.extensions:
            builder = builder.add_extension(extension, critical=critical)
        signs_plainly = isinstance(issuer.key, ed25519.Ed25519PrivateKey)
        return builder.sign(issuer.key, None if signs_plainly else hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """Return the certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def x5c(self) -> str:
        """Return the certificate as a token's header has it."""
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def jwk(key: Any) -> Any:
    """Return a private key as the library signs with it."""
    kind = {"RSAPrivateKey": RSAKey, "Ed25519PrivateKey": OKPKey}.get(type(key).__name__.lstrip("_"), ECKey)
    return kind.import_key(key)


def token(key: Any, header: dict[str, Any], algorithm: str = "ES256", **changes: Any) -> str:
    """Sign a token of the other service; a claim given as `...` is left out."""
    claims = {
        "iss": "auth.example",
        "sub": "alice",
        "aud": "registry.example",
        "exp": NOW + 300,
        "nbf": NOW,
        "iat": NOW,
        "jti": "1",
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}],
    } | changes
    body = json.dumps({name: value for name, value in claims.items() if value is not ...}).encode()
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = 64 * 1024
    with quietly():
        return jws.serialize_compact(
            {"alg": algorithm, "typ": "JWT", **header}, body, jwk(key), algorithms=[algorithm], registry=registry
        )
