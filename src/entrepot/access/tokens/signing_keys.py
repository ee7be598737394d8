"""The keys that sign our tokens: made once, by whichever process comes first, and kept where only we can read them.

That is a file beside SQLite's, or a sealed row of a database that nodes share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from entrepot.access.errors import SetupError
from entrepot.metadata import sealed, settings
from entrepot.metadata.database import Database
from entrepot.vault.private_file import create_once
from entrepot.vault.vault import Vault

#: The algorithms we sign with, and their keys' curve. A fixed list; what a token's header says is compared to it.
CURVES = {"ES256": "P-256", "EdDSA": "Ed25519"}
DEFAULT_ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the one algorithm it is used with."""

    key: ECKey | OKPKey = field(repr=False)
    algorithm: str
    id: str = field(init=False)  #: the RFC 7638 thumbprint

    def __post_init__(self) -> None:
        """Compute the id once: each token names it."""
        object.__setattr__(self, "id", self.key.thumbprint())


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs, and by their ids all keys whose signatures are believed."""

    current: SigningKey
    trusted: Mapping[str, SigningKey]


def load_or_create(folder: Path, algorithm: str = DEFAULT_ALGORITHM) -> SigningKeys:
    """Read the keys in a folder; the first start makes them.

    Of two processes that start at the same instant one makes the keys, and both use those. There is one file for each
    algorithm ever used, a JWK set: its first key signs, all of them are believed, so that a new one can be put in
    front of the old.

    Raises:
        SetupError: A file is readable by others, or is no set of our keys.
    """
    create_once(_path(folder, algorithm), lambda: _new_keys(algorithm))
    trusted: dict[str, SigningKey] = {}
    for name in CURVES:
        path = _path(folder, name)
        if path.exists():
            trusted.update((key.id, key) for key in _load(path, name))
    return _chosen(trusted, algorithm)


async def load_or_create_sealed(database: Database, vault: Vault, algorithm: str = DEFAULT_ALGORITHM) -> SigningKeys:
    """Read the keys in a database; the first start of the first node makes them. As `load_or_create` in all else.

    Raises:
        SetupError: A row is no set of our keys.
        VaultError: The operator's key is not the one that they were sealed with.
    """
    if await settings.find(database, _row(algorithm)) is None:
        new = _new_keys(algorithm).decode()
        text = await vault.seal(new, sealed.about(sealed.SETTING, _row(algorithm)))
        await database.write(lambda tx: settings.add(tx, _row(algorithm), text), name="first signing keys")
    trusted: dict[str, SigningKey] = {}
    for name in CURVES:
        text_of = await settings.find(database, _row(name))
        if text_of is not None:
            opened = await vault.open(text_of, sealed.about(sealed.SETTING, _row(name)))
            trusted.update((key.id, key) for key in _parse(opened.encode(), name, f"the setting {_row(name)}"))
    return _chosen(trusted, algorithm)


async def seal_files(folder: Path, database: Database, vault: Vault) -> None:
    """Put the keys of a folder into its database, sealed, so that they go along when that moves.

    Raises:
        SetupError: As `load_or_create`.
        VaultError: The operator's key cannot be used.
    """
    for algorithm in CURVES:
        path = _path(folder, algorithm)
        if path.exists():
            _load(path, algorithm)
            row = _row(algorithm)
            text = await vault.seal(path.read_text(encoding="utf-8"), sealed.about(sealed.SETTING, row))
            await database.write(partial(settings.put, key=row, value=text), name="seal signing keys")


async def write_files(folder: Path, database: Database, vault: Vault) -> None:
    """Put the sealed keys of a database into a folder, unless there are some.

    Raises:
        VaultError: The operator's key is not the one that they were sealed with.
    """
    for algorithm in CURVES:
        text = await settings.find(database, _row(algorithm))
        if text is not None:
            opened = await vault.open(text, sealed.about(sealed.SETTING, _row(algorithm)))
            create_once(_path(folder, algorithm), opened.encode)


def _chosen(trusted: dict[str, SigningKey], algorithm: str) -> SigningKeys:
    current = next(key for key in trusted.values() if key.algorithm == algorithm)
    return SigningKeys(current, trusted)


def _row(algorithm: str) -> str:
    return f"token-signing.{algorithm.lower()}"


def _path(folder: Path, algorithm: str) -> Path:
    return folder / f"token-signing-{algorithm.lower()}.json"


def _new_keys(algorithm: str) -> bytes:
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
    return json.dumps({"keys": [key.as_dict(private=True)]}).encode() + b"\n"


def _load(path: Path, algorithm: str) -> list[SigningKey]:
    if path.stat().st_mode & 0o077:
        raise SetupError(f"{path} can be read by others; make it private with: chmod 600 {path}")
    return _parse(path.read_bytes(), algorithm, str(path))


def _parse(text: bytes, algorithm: str, place: str) -> list[SigningKey]:
    kind = ECKey if algorithm == "ES256" else OKPKey
    try:
        keys = [kind.import_key(entry) for entry in json.loads(text)["keys"]]
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise SetupError(f"{place} is damaged; remove it, and the next start makes new keys") from error
    if not keys or any(not key.is_private or key.get("crv") != CURVES[algorithm] for key in keys):
        raise SetupError(f"{place} holds no private {CURVES[algorithm]} keys; remove it, and the next start makes some")
    return [SigningKey(key, algorithm) for key in keys]
