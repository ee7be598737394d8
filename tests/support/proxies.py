"""nginx and HAProxy in front of a registry, on free ports of the loopback, as people run them."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import find_tool

_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream registry {{ server 127.0.0.1:{backend}; keepalive 2; }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
    location / {{
      proxy_pass http://registry; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
  }}
}}
"""
_HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  http-reuse always
listen registry
  bind 127.0.0.1:{port}
  server only 127.0.0.1:{backend}
"""


@contextmanager
def nginx(folder: Path, backend: int) -> Iterator[int]:
    """Run nginx in front of a port; gives its own."""
    port, file = _free_port(), folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, backend=backend))
    with _running([str(find_tool("nginx")), "-c", str(file), "-p", str(folder)], port):
        yield port


@contextmanager
def haproxy(folder: Path, backend: int) -> Iterator[int]:
    """Run HAProxy in front of a port; gives its own."""
    port, file = _free_port(), folder / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, backend=backend))
    with _running([str(find_tool("haproxy")), "-db", "-q", "-f", str(file)], port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _await(process, port)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _await(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(500):
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("it does not listen")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
