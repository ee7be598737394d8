"""Answers an ACME service that asks for the proof of a name on port 80 (HTTP-01, RFC 8555 section 8.3).

The port is open to everybody, so nobody may hold it up: each connection has a thread and a few seconds in all, and
where there are too many the oldest one goes.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final

_log = logging.getLogger(__name__)

_CONNECTION_SECONDS: Final = 5.0
_CONNECTIONS: Final = 64
_LOOK_SECONDS: Final = 0.1


@contextmanager
def answer_challenges(host: str, port: int, answers: Mapping[str, str]) -> Iterator[None]:
    """Serve the answers by their paths meanwhile, on all addresses of the host.

    Raises:
        OSError: Nobody may listen on any of them.
    """
    with ExitStack() as listeners:
        refused: list[OSError] = []
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            try:
                listeners.enter_context(_Listener(family, address, answers)).start()
            except OSError as error:  # a machine without IPv6 names its addresses nevertheless
                refused.append(error)
        if len(refused) == len(found):
            raise refused[0]
        yield


class _Listener(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, family: int, address: tuple[Any, ...], answers: Mapping[str, str]) -> None:
        self.address_family = family
        self.answers = answers
        self._guard = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(_LOOK_SECONDS,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the other listener has the rest
        self.socket.settimeout(0)  # a client that is gone before it is let in holds up nobody
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open[request] = time.monotonic() + _CONNECTION_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections whose time is over, and the oldest where there are too many: their threads then end."""
        now = time.monotonic()
        with self._guard:
            surplus = len(self._open) - _CONNECTIONS
            for place, (request, end) in enumerate(list(self._open.items())):  # the oldest first
                if place < surplus or end < now:
                    del self._open[request]
                    with suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class gives them
        _log.debug("a client of the listener for ACME left", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    server_version = "Entrepot"
    sys_version = ""
    timeout = _CONNECTION_SECONDS

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path)
        self.send_response(HTTPStatus.NOT_FOUND if answer is None else HTTPStatus.OK)
        body = b"" if answer is None else answer.encode()
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so by the base class
        _log.debug("listener for ACME: " + format, *args)
