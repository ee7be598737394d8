"""Ends connections whose client has stopped reading.

The server waits for such clients for ever, and tells the application nothing: whole files are sent without it. The
kernel can be told to give up on a connection whose data makes no way for some time (`TCP_USER_TIMEOUT`), also when it
is the reader's full buffer that stops it. Connections take the time from the socket that accepted them.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

#: The server opens its socket soon after the application has started; on a Unix socket it never has one of these.
_LOOKS: Final = 300
_BETWEEN_LOOKS: Final = 0.1


async def limit_slow_readers(seconds: float) -> None:
    """Wait for this process's listening sockets and set the time for the connections they will accept."""
    for _ in range(_LOOKS):
        if set_user_timeout(seconds):
            return
        await asyncio.sleep(_BETWEEN_LOOKS)


def set_user_timeout(seconds: float) -> int:
    """Set the time on every TCP socket of this process that listens; return how many those are."""
    milliseconds = max(1, int(seconds * 1000))
    return sum(_set_on_listener(int(entry.name), milliseconds) for entry in list(Path("/proc/self/fd").iterdir()))


def _set_on_listener(descriptor: int, milliseconds: int) -> bool:
    """Set the time if the descriptor is a TCP socket that listens.

    The descriptor is borrowed, never duplicated: it may be a database file's, and whoever closes a duplicate of that
    gives up the locks that SQLite holds on the file.
    """
    try:
        borrowed = socket.socket(fileno=descriptor)
    except OSError:  # not a socket, or closed meanwhile
        return False
    try:
        if not _is_tcp(borrowed) or not borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return True
    finally:
        borrowed.detach()


def _is_tcp(candidate: socket.socket) -> bool:
    return candidate.family in (socket.AF_INET, socket.AF_INET6) and candidate.type == socket.SOCK_STREAM
