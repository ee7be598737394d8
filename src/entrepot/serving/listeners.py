"""The sockets on which this process listens.

The server opens them itself and does not hand them out, so they are found among the open files.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

_LOOKS: Final = 1000
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1


async def once_listening(action: Callable[[socket.socket], None]) -> None:
    """Wait until this process listens on TCP, then do something with each of its listening sockets."""
    pause = _FIRST_PAUSE
    for _ in range(_LOOKS):
        if for_each_listener(action):
            return
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def for_each_listener(action: Callable[[socket.socket], None]) -> int:
    """Do something with every TCP socket of this process that listens; return how many those are."""
    return sum(_apply(int(entry.name), action) for entry in list(Path("/proc/self/fd").iterdir()))


def _apply(descriptor: int, action: Callable[[socket.socket], None]) -> bool:
    """Run the action if the descriptor is a TCP socket that listens.

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
        action(borrowed)
        return True
    finally:
        borrowed.detach()


def _is_tcp(candidate: socket.socket) -> bool:
    return candidate.family in (socket.AF_INET, socket.AF_INET6) and candidate.type == socket.SOCK_STREAM
