"""The keys that sign our tokens: made once, by whichever process comes first, and kept where only we can read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from entrepot.access.errors import SetupError
from entrepot.access.secret_file import create_once

#: P-256: every client library that looks into a token knows it. A fixed list, never taken from a token.
ALGORITHM = "ES256"
_CURVE = "P-256"
_FILE = "token-signing.json"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs, and by their ids all keys whose signatures are believed."""

    current: ECKey = field(repr=False)
    trusted: Mapping[str, ECKey] = field(repr=False)

    @property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint of the key that signs."""
        return self.current.thumbprint()


def load_or_create(folder: Path) -> SigningKeys:
    """Read the keys of a data folder's `keys` folder; the first start makes them.

    Of two processes that start at the same instant one makes the keys, and both use those. The file is a JWK set:
    the first key signs, all of them are believed, so that a new one can be put in front of the old.

    Raises:
        SetupError: The file is readable by others, or is no set of our keys.
    """
    path = folder / _FILE
    create_once(path, _new_keys)
    if path.stat().st_mode & 0o077:
        raise SetupError(f"{path} can be read by others; make it private with: chmod 600 {path}")
    return _parse(path.read_bytes(), path)


def _new_keys() -> bytes:
    key = ECKey.generate_key(_CURVE, private=True)
    return json.dumps({"keys": [key.as_dict(private=True)]}).encode() + b"\n"


def _parse(raw: bytes, path: Path) -> SigningKeys:
    try:
        keys = [ECKey.import_key(entry) for entry in json.loads(raw)["keys"]]
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise SetupError(f"{path} is damaged; remove it, and the next start makes new keys") from error
    if not keys or any(not key.is_private or key.curve_name != _CURVE for key in keys):
        raise SetupError(f"{path} holds no private {_CURVE} keys; remove it, and the next start makes new ones")
    return SigningKeys(keys[0], {key.thumbprint(): key for key in keys})
