"""The listener for metrics and health (`http.debug`), apart from the registry's own address.

It lies in the supervisor, so that it answers while workers are restarted, and knows registry:2's paths.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from entrepot.serving.errors import StartRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from entrepot.serving.health import Health
    from entrepot.serving.settings import DebugSettings

_log = logging.getLogger(__name__)

_JSON: Final = "application/json; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
Answer = tuple[int, bytes, str]


class DebugListener:
    """Answers on its own address, in threads, until closed."""

    def __init__(self, settings: DebugSettings, health: Health, metrics: Callable[[str], tuple[bytes, str]]) -> None:
        routes = _Routes(health, metrics, settings.metrics_path)
        try:
            self._server = _Server((settings.host, settings.port), routes)
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise StartRefused(
                f"The debug address {where} (http.debug.addr) cannot be opened: {error.strerror}."
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="debug", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Routes:
    """What is answered."""

    def __init__(self, health: Health, metrics: Callable[[str], tuple[bytes, str]], metrics_path: str | None) -> None:
        self._health = health
        self._metrics = metrics
        self._metrics_path = metrics_path

    def get(self, path: str, accept: str) -> Answer:
        if path == "/debug/health":
            problems = self._health.problems()
            return (503 if problems else 200), json.dumps(problems).encode(), _JSON
        if path == "/healthz":
            return 200, b"{}", _JSON
        if path == "/debug/vars":
            return 200, json.dumps(_variables()).encode(), _JSON
        if self._metrics_path is not None and path == self._metrics_path:
            body, content_type = self._metrics(accept)
            return 200, body, content_type
        return 404, b"404 page not found\n", _TEXT

    def post(self, path: str) -> Answer:
        if path not in {"/debug/health/down", "/debug/health/up"}:
            return 404, b"404 page not found\n", _TEXT
        self._health.set_down(down=path.endswith("down"))
        return 200, b"", _TEXT


def _variables() -> dict[str, Any]:
    """Return what registry:2 shows of itself, in its form: its own variables, and of Go's what means something here.

    Memory is what all processes of this `serve` hold. There are no notifications and no proxy: they have no counts.
    """
    held = _held_bytes()
    memory = dict.fromkeys(("Alloc", "Sys", "HeapAlloc", "HeapSys", "HeapInuse"), held)
    collections = sum(generation["collections"] for generation in gc.get_stats())
    proxied = dict.fromkeys(("Requests", "Hits", "Misses", "BytesPulled", "BytesPushed"), 0)
    return {
        "cmdline": sys.argv,
        "memstats": {**memory, "NumGC": collections, "EnableGC": gc.isenabled()},
        "registry": {
            "cache": {"storage": {"blobdescriptor": {}}},
            "notifications": {"endpoints": None},
            "proxy": {"blobs": proxied, "manifests": proxied},
        },
    }


def _held_bytes() -> int:
    """Add up what this process and those below it have in memory."""
    pages, waiting = 0, [os.getpid()]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        with suppress(OSError, ValueError):  # it ended meanwhile
            pages += int((process / "statm").read_text().split()[1])
            for children in (process / "task").glob("*/children"):
                waiting += [int(child) for child in children.read_text().split()]
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], routes: _Routes) -> None:
        self.routes = routes
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "Entrepot"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        self._send(self.server.routes.get(self.path.partition("?")[0], self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # A body, if there is one, is not read.
        self._send(self.server.routes.post(self.path.partition("?")[0]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so by the base class
        _log.debug("debug listener: " + format, *args)

    def _send(self, answer: Answer) -> None:
        status, body, content_type = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
