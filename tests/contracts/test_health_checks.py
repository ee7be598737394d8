"""Health checks against a real server."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from entrepot.serving.health_checks import HttpCheck


class Asked(BaseHTTPRequestHandler):
    """Answers 204, and remembers who asked."""

    authorizations: ClassVar[list[str | None]] = []

    def do_HEAD(self) -> None:
        """Answer."""
        self.authorizations.append(self.headers.get("Authorization"))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def test_an_http_check_signs_in_and_says_nothing_of_it() -> None:
    """User and password of the URI become a Basic header, as in registry:2, and appear in no finding."""
    with HTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_port}/x"
        uri = f"http://robot:s3%40cret@{where}?token=hidden"
        assert HttpCheck(uri=uri, status=204).probe() is None
        assert HttpCheck(uri=uri).probe() == f"http://{where}?*** answered 204, expected 200"
        assert HttpCheck(uri=uri, status=204, headers={"authorization": "Bearer x"}).probe() is None
        server.shutdown()
    basic = "Basic " + base64.b64encode(b"robot:s3@cret").decode()
    assert Asked.authorizations == [basic, basic, "Bearer x"]
    assert "cret" not in repr(HttpCheck(uri=uri))
    finding = HttpCheck(uri=uri).probe()
    assert finding is not None
    assert finding.startswith(f"http://{where}?*** does not answer")
