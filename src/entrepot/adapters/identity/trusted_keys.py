"""The public keys of another token service, as registry:2's and registry:3's `auth.token` name them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from entrepot.access.errors import SetupError
from entrepot.access.tokens.jwt import Key, quietly
from entrepot.adapters.identity.key_ids import as_key, key_ids

_BLOCK = re.compile(rb"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----.+?-----END \1-----", re.DOTALL)

_SHARED = "it holds a shared secret; tokens must be signed with a private key that the registry does not have"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKeys:
    """Keys by id, and the certificates in which a chain that a token brings along must end."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    roots: tuple[x509.Certificate, ...] = ()


def load_trusted_keys(*, bundle: str = "", jwks: str = "") -> TrustedKeys:
    """Read the files that `rootcertbundle` and `jwks` name.

    Raises:
        SetupError: A file cannot be used, or there is no key in either.
    """
    keys: dict[str, Key] = {}
    roots: list[x509.Certificate] = []
    if bundle:
        with _naming("rootcertbundle", bundle):
            for public in _read_bundle(Path(bundle).read_bytes(), roots):
                key = as_key(public)
                keys.update((key_id, key) for key_id in key_ids(key, public))
    if jwks:
        with _naming("jwks", jwks):
            keys.update(_read_key_set(Path(jwks).read_bytes()))
    if not keys:
        raise SetupError("auth.token needs at least one public key: name a file in rootcertbundle or jwks")
    return TrustedKeys(by_id=keys, roots=tuple(roots))


@contextmanager
def _naming(setting: str, path: str) -> Iterator[None]:
    """Say which setting's file is at fault."""
    try:
        yield
    except (OSError, ValueError, JoseError, KeyError, TypeError) as error:
        raise SetupError(f"auth.token.{setting}: {path} cannot be used: {error}") from error


def _read_bundle(raw: bytes, roots: list[x509.Certificate]) -> Iterator[PublicKeyTypes]:
    """List the public keys of a PEM file, and keep its certificates in `roots`."""
    for block in _BLOCK.finditer(raw):
        if block[1] == b"CERTIFICATE":
            certificate = x509.load_pem_x509_certificate(block[0])
            roots.append(certificate)
            yield certificate.public_key()
        else:
            yield load_pem_public_key(block[0])


def _read_key_set(raw: bytes) -> Iterator[tuple[str, Key]]:
    """List the keys of a JWK set under the ids it gives them, and under their thumbprints."""
    for entry in json.loads(raw)["keys"]:
        with quietly():
            key = import_key(entry)
        if not isinstance(key, RSAKey | ECKey | OKPKey):
            raise ValueError(_SHARED)  # noqa: TRY004 - what is wrong is the file, not a type of ours
        if key.is_private:
            raise ValueError("it holds a private key, which belongs to the token service alone; give the public one")
        yield key.thumbprint(), key
        if key.kid:
            yield key.kid, key
