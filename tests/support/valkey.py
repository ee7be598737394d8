"""A Valkey server in memory, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.tools import find_tool


@dataclass
class Valkey:
    """A server that a test may stop and start again."""

    folder: Path
    port: int
    arguments: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port, as the configuration names them."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [
            find_tool("valkey-server"),
            *self.first,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            self.folder,
        ]
        self.process = subprocess.Popen(
            [*command, *(() if self.first else ("--save", "", "--appendonly", "no")), *self.arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64):
                    return
            time.sleep(0.02)
        raise AssertionError("Valkey does not answer")

    def stop(self) -> None:
        """Stop it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def running_valkey(folder: Path, *arguments: str, first: tuple[str, ...] = ()) -> Iterator[Valkey]:
    """Run a server; `arguments` are further options of its command, `first` those that come before all others."""
    server = Valkey(folder, free_port(), arguments, first)
    server.start()
    try:
        yield server
    finally:
        server.stop()
