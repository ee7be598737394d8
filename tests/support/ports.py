"""Ports of the loopback for servers of tests."""

from __future__ import annotations

import random
import socket

#: Below those that Linux gives to connections that go out: none of them can take a port before its server has it.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port that nobody uses."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
