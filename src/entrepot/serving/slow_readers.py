"""Ends connections whose client has stopped reading.

The server waits for such clients for ever, and tells the application nothing: whole files are sent without it. The
kernel can be told to give up on a connection whose data makes no way for some time (`TCP_USER_TIMEOUT`), also when it
is the reader's full buffer that stops it. Connections take the time from the socket that accepted them.
"""

from __future__ import annotations

import asyncio
import os
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
    found = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        listener = _listener(int(entry.name))
        if listener is None:
            continue
        with listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))
        found += 1
    return found


def _listener(descriptor: int) -> socket.socket | None:
    """Return a duplicate of a TCP socket that listens."""
    try:
        duplicate = os.dup(descriptor)
    except OSError:  # closed meanwhile
        return None
    try:
        candidate = socket.socket(fileno=duplicate)
    except OSError:  # not a socket
        os.close(duplicate)
        return None
    if _is_tcp(candidate) and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return candidate
    candidate.close()
    return None


def _is_tcp(candidate: socket.socket) -> bool:
    return candidate.family in (socket.AF_INET, socket.AF_INET6) and candidate.type == socket.SOCK_STREAM
