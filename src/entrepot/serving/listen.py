"""Claiming the address, so that a second instance says so instead of sharing the port in silence.

Granian's workers each open the port with SO_REUSEPORT, which any other program of the same user could do too. So the
supervisor first binds the port for itself, without that option: that fails when anybody has it. Only then it permits
its own workers to join. Its socket never listens, so it receives no connections; it also holds the port while the
web server is being restarted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Final

from entrepot.serving.errors import StartRefused

if TYPE_CHECKING:
    from pathlib import Path

    from entrepot.serving.settings import Address

_UNIX_PATH_MAX: Final = 107


class ListenLock:
    """Holds the address until closed; `port` is the real one when the settings say 0."""

    def __init__(self, address: Address) -> None:
        self._socket = _claim_unix(address.unix) if address.unix else _claim_port(address.host, address.port)
        self.port: int = 0 if address.unix else self._socket.getsockname()[1]

    def close(self) -> None:
        """Let go of the address."""
        self._socket.close()


def _claim_port(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise StartRefused(f"The listen address {host!r} is unknown here: {error.strerror}.") from error
    claim = socket.socket(family, kind, protocol)
    try:
        # With this, connections of an earlier instance in TIME_WAIT do not stand in the way, but listeners do.
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claim.bind(where)
    except OSError as error:
        claim.close()
        raise StartRefused(_why_not(error, f"{host}:{port}")) from error
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return claim


def _why_not(error: OSError, address: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{address} is in use by another program, perhaps another entrepot. Stop that one, or choose another "
            f"address with --listen HOST:PORT (http.addr). `ss -ltnp` shows who has it."
        )
    if error.errno == errno.EACCES:
        return f"Only root may listen on {address}. Choose a port above 1023 with --listen HOST:PORT (http.addr)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine does not have the address {address}. Choose one of its own, or 0.0.0.0 for all of them."
    return f"Cannot listen on {address}: {os.strerror(error.errno or 0)}."


def _claim_unix(path: Path) -> socket.socket:
    _check_socket_path(path)
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # An abstract name goes with its owner, however that ends, and leaves no file.
        claim.bind(b"\0entrepot-" + hashlib.sha256(bytes(path.resolve())).hexdigest().encode())
    except OSError as error:
        claim.close()
        raise StartRefused(_taken(path)) from error
    if _answers(path):
        claim.close()
        raise StartRefused(_taken(path))
    path.unlink(missing_ok=True)
    return claim


def _taken(path: Path) -> str:
    return f"The Unix socket {path} is in use by another program, perhaps another entrepot. Stop it, or choose another."


def _check_socket_path(path: Path) -> None:
    if len(bytes(path.resolve())) > _UNIX_PATH_MAX:
        raise StartRefused(f"The path of the Unix socket is longer than {_UNIX_PATH_MAX} bytes: {path}.")
    if not path.parent.is_dir():
        raise StartRefused(f"There is no folder {path.parent} for the Unix socket.")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise StartRefused(f"{path} exists and is not a socket. Choose another path for the Unix socket.")


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
