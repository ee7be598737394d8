"""Ends connections whose client has stopped reading.

The server waits for such clients for ever, and tells the application nothing: whole files are sent without it. The
kernel can be told to give up on a connection whose data makes no way for some time (`TCP_USER_TIMEOUT`), also when it
is the reader's full buffer that stops it. Connections take the time from the socket that accepted them.
"""

from __future__ import annotations

import socket
from functools import partial

from entrepot.serving.listeners import once_listening


async def limit_slow_readers(seconds: float) -> None:
    """Wait for this process's listening sockets and set the time for the connections they will accept."""
    await once_listening(partial(_limit, seconds=seconds))


def _limit(listener: socket.socket, seconds: float) -> None:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))
