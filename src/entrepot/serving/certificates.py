"""TLS files: checked before use, handed to the server, watched for change.

The server reads a certificate only when a worker starts, and a bad one ends it. So the supervisor reads and checks the
files, and gives the server a copy in memory that it replaces as a whole: whatever lies on disk at the moment a worker
is restarted, the worker finds a pair that fits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from entrepot.serving.certificate_check import check_pair
from entrepot.serving.errors import CertificateRefused

if TYPE_CHECKING:
    from entrepot.serving.settings import TlsSettings

#: How the files look: inode, time and size of each.
Signature = tuple[tuple[int, int, int], ...]

_MINIMA: Final = {"tls1.0": "tls1.2", "tls1.1": "tls1.2", "tls1.2": "tls1.2", "tls1.3": "tls1.3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What the server is given: paths that stay valid while the supervisor lives."""

    pair: Path
    client_cas: Path | None
    minimum: str


class Certificates:
    """The files of the settings, as the server sees them."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._pair = os.memfd_create("tls-pair")
        self._cas = os.memfd_create("tls-client-cas")
        self._previous = (b"", b"")
        self.seen: Signature = ()
        self.load()

    @property
    def for_server(self) -> ServerTls:
        """Say where the server finds the copies."""
        return ServerTls(
            pair=_path_of(self._pair),
            client_cas=_path_of(self._cas) if self._settings.client_cas else None,
            minimum=_MINIMA.get(self._settings.minimum, "tls1.2"),
        )

    def load(self) -> None:
        """Check the files and take them over.

        Raises:
            CertificateRefused: A file is missing or unreadable, or key and certificate do not fit. What was taken
                over before stays.
        """
        self.seen = self.signature()
        files = dict.fromkeys((self._settings.certificate, self._settings.key))  # both may be in one
        pair = b"\n".join(_read(path) for path in files)
        authorities = b"\n".join(_read(path) for path in self._settings.client_cas)
        check_pair(pair, self._settings)
        self._previous = (_path_of(self._pair).read_bytes(), _path_of(self._cas).read_bytes())
        self._take(pair, authorities)

    def revert(self) -> None:
        """Go back to what was taken over before the last time."""
        self._take(*self._previous)

    def _take(self, pair: bytes, authorities: bytes) -> None:
        _replace(self._pair, pair)
        _replace(self._cas, authorities)

    def signature(self) -> Signature:
        """Say how the files look now; another answer means that somebody changed them."""
        paths = (self._settings.certificate, self._settings.key, *self._settings.client_cas)
        return tuple(_look(path) for path in paths)

    def close(self) -> None:
        """Forget the copies."""
        os.close(self._pair)
        os.close(self._cas)


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _replace(descriptor: int, data: bytes) -> None:
    """Put new bytes in the place of a descriptor, in one step for whoever opens it by its path."""
    new = os.memfd_create("tls")
    try:
        os.write(new, data)
        os.dup2(new, descriptor, inheritable=False)
    finally:
        os.close(new)


def _look(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateRefused(f"Cannot read {path}: {os.strerror(error.errno or 0)}.") from error
