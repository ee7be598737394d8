"""The operator's key: 32 random bytes, from the environment, from a file, or made at first need beside the databases.

Where the databases are on a server there is no such place, and several nodes share them: then the operator gives it.

There may be several: the first wraps, all of them open. So a new key is put in front of the old one, everything is
wrapped anew (`entrepot secrets rotate`), and then the old one goes.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.vault.cipher import KEY_BYTES, new_key
from entrepot.vault.errors import SecretKeyUnusable
from entrepot.vault.private_file import create_once, replace

VARIABLE = "ENTREPOT_SECRET_KEY"
FILE_VARIABLE = "ENTREPOT_SECRET_KEY_FILE"
#: Below the state folder, when the operator gives none.
GENERATED = Path("keys", "secret.key")
_HOW = "make one with: openssl rand -base64 32"
#: What is said where it has to be given, and is not.
MISSING = (
    f"the metadata are in PostgreSQL, so the secret key has to be given, the same on every node: set {VARIABLE} or "
    f"{FILE_VARIABLE}; {_HOW}"
)
_HEX_DIGITS = 2 * KEY_BYTES
#: Random bytes repeat themselves less.
_FEWEST_DISTINCT = 12
_BETWEEN = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One key of the operator's."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """A name for it that tells nothing of it."""
        return hmac.digest(self.secret, b"entrepot: id of a secret key", hashlib.sha256).hex()[:16]

    @property
    def text(self) -> str:
        """The key as a file holds it."""
        return base64.b64encode(self.secret).decode()


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The key that wraps, and by their ids all that open."""

    current: MasterKey
    known: Mapping[str, MasterKey]

    @classmethod
    def of(cls, keys: Sequence[MasterKey]) -> MasterKeys:
        """Take the first key for wrapping."""
        return cls(keys[0], {key.id: key for key in keys})


class KeySource:
    """Where the operator's key comes from: the environment first, then the state folder, where there is one."""

    def __init__(self, state: Path | None, environ: Mapping[str, str]) -> None:
        """Keep what was given; None for `state` where no key may be made up.

        Raises:
            SecretKeyUnusable: Both variables are set, so that nobody can say which one is meant.
        """
        self._given = environ.get(VARIABLE, "")
        self._file = environ.get(FILE_VARIABLE, "")
        self._generated = None if state is None else state / GENERATED
        if self._given and self._file:
            raise SecretKeyUnusable(f"{VARIABLE} and {FILE_VARIABLE} are both set; keep one of them")

    @property
    def is_ours(self) -> bool:
        """Tell whether the key is one that we made and may replace."""
        return self._generated is not None and not self._given and not self._file

    def __str__(self) -> str:
        if self._given:
            return VARIABLE
        return self._file or str(self._generated or VARIABLE)

    def check(self) -> None:
        """Look at what is there already, so that a start says what is wrong with it.

        Raises:
            SecretKeyUnusable: It cannot be used.
        """
        if not self.is_ours or self._own.exists():
            self.load()

    def load(self) -> MasterKeys:
        """Read the keys; where none is given, the first call makes one. Reads files: call it in a thread.

        Raises:
            SecretKeyUnusable: They cannot be used.
        """
        if self._given:
            return _parse(self._given, VARIABLE)
        if self._file:
            return _parse(_read(Path(self._file), forbidden=0o007), self._file)
        if self._generated is None:
            raise SecretKeyUnusable(MISSING)
        create_once(self._generated, lambda: _content([MasterKey(new_key())]))
        return _parse(_read(self._generated, forbidden=0o077), str(self._generated))

    @property
    def _own(self) -> Path:
        assert self._generated is not None, "asked only where the key is ours"
        return self._generated

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of this host from replacing the key meanwhile; does nothing where it is not ours.

        Raises:
            SecretKeyUnusable: Another process is about it.
        """
        if not self.is_ours:
            yield
            return
        self._own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._own.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise SecretKeyUnusable("the secret key is being replaced by another process; wait for it") from None
        finally:
            os.close(handle)

    def put_new_first(self) -> MasterKeys:
        """Make a new key, in front of those that there are; only where the key is ours.

        Raises:
            SecretKeyUnusable: The file cannot be used.
        """
        keys = [MasterKey(new_key()), *self.load().known.values()]
        replace(self._own, _content(keys))
        return MasterKeys.of(keys)

    def drop_old(self, keys: MasterKeys) -> None:
        """Keep the current key alone; only where the key is ours, and nothing is wrapped with another."""
        replace(self._own, _content([keys.current]))


def keys_in(path: Path) -> MasterKeys:
    """Read keys from a file that the operator names. Blocks: call it in a thread.

    Raises:
        SecretKeyUnusable: They cannot be used.
    """
    return _parse(_read(path, forbidden=0o007), str(path))


def _read(path: Path, *, forbidden: int) -> str:
    try:
        if path.stat().st_mode & forbidden:
            raise SecretKeyUnusable(f"{path} can be read by others; make it private with: chmod 600 {path}")
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no text"
        raise SecretKeyUnusable(f"the secret key {path} cannot be read: {reason}") from None


def _parse(text: str, place: str) -> MasterKeys:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = [word for line in lines for word in _BETWEEN.split(line) if word]
    if not words:
        raise SecretKeyUnusable(f"{place} holds no key; {_HOW}")
    return MasterKeys.of([_key(word, place) for word in words])


def _key(word: str, place: str) -> MasterKey:
    try:
        secret = bytes.fromhex(word) if len(word) == _HEX_DIGITS else _from_base64(word)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SecretKeyUnusable(f"{place}: a key is {KEY_BYTES} random bytes in base64 or hexadecimal; {_HOW}")
    if len(set(secret)) < _FEWEST_DISTINCT:
        raise SecretKeyUnusable(f"{place}: that key can be guessed; {_HOW}")
    return MasterKey(secret)


def _from_base64(word: str) -> bytes:
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _content(keys: Sequence[MasterKey]) -> bytes:
    return "".join(
        ["# Without this file the secrets in the database cannot be read. Keep a copy.\n"]
        + [f"{key.text}\n" for key in keys]
    ).encode()
