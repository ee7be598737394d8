"""Two registries on one folder, each in a PID namespace of its own as in two containers, behind HAProxy."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import Server
from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import find_tool

#: Puts a process where it sees no process of the other, and would have the same pid. It dies with the tests.
APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

CONFIG = """\
global
  maxconn 1000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option redispatch
  retries 2
frontend all
  bind fd@{descriptor}
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /healthz
  default-server check inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


@contextmanager
def two_replicas(data: Path, **options: object) -> Iterator[tuple[Server, Server]]:
    """Start two at the same instant; who fails sees what both said."""
    made = tuple(Server(data=data, prefix=list(APART), start=False, **options) for _ in range(2))
    first, second = made
    with first, second:
        for server in made:
            server.start(wait=False)
        for server in made:
            server.wait_until_ready()
        yield first, second


@contextmanager
def haproxy(folder: Path, servers: tuple[Server, ...]) -> Iterator[str]:
    """Spread requests over servers; gives the URL."""
    lines = "\n".join(f"  server replica{number} {server.address}" for number, server in enumerate(servers))
    with socket.create_server(("127.0.0.1", 0)) as listener:  # HAProxy takes over the socket, so the port is ours
        descriptor = listener.fileno()
        (folder / "haproxy.cfg").write_text(CONFIG.format(descriptor=descriptor, servers=lines), encoding="utf-8")
        command = [*ENDS_WITH_TESTS, find_tool("haproxy"), "-db", "-f", folder / "haproxy.cfg"]
        process = subprocess.Popen(
            command,
            pass_fds=[descriptor],
            cwd=folder,
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(timeout=10)
