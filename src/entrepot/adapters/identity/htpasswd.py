"""registry:2's `auth: htpasswd`: names and bcrypt hashes in a file, read again when it changes."""

from __future__ import annotations

import base64
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import bcrypt

from entrepot.access.errors import SetupError
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.guarded_passwords import StoredPassword
from entrepot.access.passwords.htpasswd_entries import LONGEST, matches, parse
from entrepot.oci.errors import Unavailable
from entrepot.vault.private_file import create_once

_log = logging.getLogger(__name__)

#: The user that a missing file is made with.
FIRST_USER = "docker"
#: Seconds between two looks at the file.
_INTERVAL = 1.0

_Stamp = tuple[int, int, int]


def ensure_file(path: Path) -> str | None:
    """Make the file with one user if it is missing, as registry:2 does.

    Returns:
        A notice to print, for the one process that made it.
    """
    password = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()

    def content() -> bytes:
        return f"{FIRST_USER}:{_hash(password)}\n".encode()

    if not create_once(path, content):
        return None
    return f"{path} was missing; it was made with the user '{FIRST_USER}' and the password {password}"


class HtpasswdFile:
    """A `PasswordStore` over the file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            SetupError: It cannot be read.
        """
        self._path = path
        self._clock = clock
        self._entries: Mapping[str, str] = {}
        self._stamp: _Stamp | None = None
        self._looked = clock()
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise SetupError(f"auth.htpasswd.path: {path} cannot be used: {error}") from error

    async def find(self, name: str, *, fresh: bool = False) -> StoredPassword | None:
        """See `PasswordStore`.

        Raises:
            Unavailable: The file is gone or damaged: nobody can be let in on what it once said.
        """
        self._look(at_once=fresh)
        encoded = self._entries.get(name)
        if encoded is None:
            return None
        return StoredPassword(Principal(kind=PrincipalKind.USER, name=name), encoded)

    def matches(self, encoded: str | None, password: str) -> bool:
        """See `PasswordStore`. What is no bcrypt hash matches nothing, as in registry:2."""
        if len(password.encode()) > LONGEST:
            _log.warning("a password of more than %d bytes was refused: bcrypt cannot tell such apart", LONGEST)
        return matches(encoded or _nobody(), password) and encoded is not None

    def _look(self, *, at_once: bool) -> None:
        now = self._clock()
        if not at_once and now - self._looked < _INTERVAL and self._stamp is not None:
            return
        self._looked = now
        try:
            self._read()
        except (OSError, ValueError) as error:
            self._stamp = None
            _log.exception(
                "auth.htpasswd.path: %s cannot be used; nobody can sign in until it is put right", self._path
            )
            raise Unavailable(1, "the registry's list of users cannot be read; tell its operator") from error

    def _read(self) -> None:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp == self._stamp:
            return
        self._entries = parse(self._path.read_text(encoding="utf-8", errors="surrogateescape"))
        self._stamp = stamp


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=10)).decode()


@cache
def _nobody() -> str:
    """Hash a password that nobody has, to spend on unknown names the time that known ones take."""
    return _hash(secrets.token_urlsafe(16))
