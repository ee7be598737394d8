"""Two registries on one folder, each in a PID namespace of its own as in two containers, behind HAProxy."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

from tests.support.server import Server
from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import ROOT, find_tool

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
def two_replicas(data: Path, package: Path | None = None, **options: object) -> Iterator[tuple[Server, Server]]:
    """Start two at the same instant, of this version or of what lies in `package`; who fails sees what both said."""
    made = tuple(Server(data=data, prefix=list(APART), start=False, **options) for _ in range(2))
    first, second = made
    with first, second:
        for server in made:
            server.package = package
            server.start(wait=False)
        for server in made:
            server.wait_until_ready()
        yield first, second


@contextmanager
def haproxy(folder: Path, servers: tuple[Server, ...]) -> Iterator[str]:
    """Spread requests over servers; gives the URL."""
    lines = "\n".join(f"  server replica{number} {server.address}" for number, server in enumerate(servers))
    with _balancing(folder, lambda descriptor: CONFIG.format(descriptor=descriptor, servers=lines)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def documented_haproxy(folder: Path, servers: tuple[Server, Server], certificate: Path) -> Iterator[str]:
    """Spread requests over two as `deploy/haproxy.cfg` says; only the addresses and the certificate are others."""
    text = (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")

    def config(descriptor: int) -> str:
        ours = {":443 ": f"fd@{descriptor} ", "/etc/haproxy/registry.pem": str(certificate)}
        ours |= {f"127.0.0.1:502{number}": server.address for number, server in enumerate(servers, 1)}
        assert all(text.count(theirs) == 1 for theirs in ours), "the file is another one"
        return reduce(lambda made, theirs: made.replace(theirs, ours[theirs]), ours, text)

    with _balancing(folder, config) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def _balancing(folder: Path, config: Callable[[int], str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # HAProxy takes over the socket, so the port is ours
        descriptor = listener.fileno()
        (folder / "haproxy.cfg").write_text(config(descriptor), encoding="utf-8")
        command = [*ENDS_WITH_TESTS, find_tool("haproxy"), "-db", "-f", folder / "haproxy.cfg"]
        process = subprocess.Popen(
            command,
            pass_fds=[descriptor],
            cwd=folder,
        )
        try:
            yield int(listener.getsockname()[1])
        finally:
            process.terminate()
            process.wait(timeout=10)
