"""Two registries on one folder, each in a PID namespace of its own as in two containers, behind HAProxy."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import reduce
from pathlib import Path

from tests.support.ports import free_port
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

#: What is around a site of nginx on a machine.
NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{site}
}}
"""
#: Caddy without what it does to a machine, and without UDP.
CADDY = """\
{
	admin off
	auto_https disable_redirects
	skip_install_trust
	servers {
		protocols h1 h2
	}
}
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
def documented_proxy(name: str, folder: Path, servers: tuple[Server, ...], certificate: Path) -> Iterator[str]:
    """Spread requests over two as the file in `deploy/` says; only addresses, paths and the certificate are others.

    HAProxy takes more than two: a line each at the end of the file.
    """
    file = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "caddy": "Caddyfile"}[name]
    text = (ROOT / "deploy" / file).read_text(encoding="utf-8")
    for number, server in enumerate(servers[:2], 1):
        text = _with(text, {f"127.0.0.1:502{number}": server.address})
    text += "".join(f"    server {server.port} {server.address}\n" for server in servers[2:])
    running = {"haproxy": _documented_haproxy, "nginx": _documented_nginx, "caddy": _documented_caddy}[name]
    with running(folder, text, certificate) as port:
        yield f"https://127.0.0.1:{port}"


def _with(text: str, ours: Mapping[str, str]) -> str:
    assert all(text.count(theirs) == 1 for theirs in ours), "the file is another one"
    return reduce(lambda made, theirs: made.replace(theirs, ours[theirs]), ours, text)


def _documented_haproxy(folder: Path, text: str, certificate: Path) -> AbstractContextManager[int]:
    def config(descriptor: int) -> str:
        return _with(text, {":443 ": f"fd@{descriptor} ", "/etc/haproxy/registry.pem": str(certificate)})

    return _balancing(folder, config)


@contextmanager
def _documented_nginx(folder: Path, text: str, certificate: Path) -> Iterator[int]:
    port = free_port()
    key = f"{certificate}.key"
    ours = {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "/etc/nginx/registry.pem": str(certificate)}
    site = _with(text, ours | {"/etc/nginx/registry.key": key})
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, site=site), encoding="utf-8")
    command = [find_tool("nginx"), "-c", folder / "nginx.conf", "-p", folder]
    with running_on(command, port, folder):
        yield port


@contextmanager
def _documented_caddy(folder: Path, text: str, certificate: Path) -> Iterator[int]:
    port = free_port()
    site = _with(
        text, {"registry.example.org {": f"https://127.0.0.1:{port} {{\n\ttls {certificate} {certificate}.key"}
    )
    (folder / "Caddyfile").write_text(CADDY + site, encoding="utf-8")
    command = [find_tool("caddy"), "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]
    with running_on(command, port, folder):
        yield port


@contextmanager
def running_on(command: list[str | Path], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is to listen on a port, until the end of the body; what it says is in `proxy.log`."""
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "proxy.log").open("wb") as log:
        program = [*ENDS_WITH_TESTS, *command]
        process = subprocess.Popen(program, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 20
            while not _listens(port):
                told = (folder / "proxy.log").read_text(encoding="utf-8")
                assert process.poll() is None, told
                assert time.monotonic() < deadline, told
                time.sleep(0.02)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
