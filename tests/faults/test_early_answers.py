"""Who is refused while still sending gets the answer, and the next request on the connection is understood."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.server import Server

NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry in which nobody may push without a login."""
    with Server() as made:
        yield made


def connect(server: Server) -> socket.socket:
    """Open a connection."""
    made = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def head(method: str, path: str, *fields: str) -> bytes:
    """Write the head of a request."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *fields, "", "")).encode()


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read one answer to its end; gives head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (piece := connection.recv(65536))
        assert piece, f"closed after {data!r}"
    start, _, body = data.partition(b"\r\n\r\n")
    length = int(start.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += (piece := connection.recv(65536))
        assert piece, "closed within the body"
    return start.lower(), body


@pytest.mark.parametrize("size", [10, 70_000, 2_000_000])
@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "after a pause"])
def test_a_refused_manifest_leaves_the_connection_usable(server: Server, size: int, pause: float) -> None:
    """A manifest that is refused is read to its end, so that the next request on the connection is answered."""
    for _ in range(5):
        with connect(server) as connection:
            connection.sendall(head("PUT", "/v2/a/b/manifests/1", f"Content-Length: {size}"))
            time.sleep(pause)
            connection.sendall(b"x" * size)
            answer, body = read_answer(connection)
            assert b" 401 " in answer
            assert b"UNAUTHORIZED" in body
            assert b"connection: close" not in answer
            connection.sendall(NEXT)
            assert b" 200 " in read_answer(connection)[0]


@pytest.mark.parametrize("framing", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
def test_a_refused_layer_is_told_to_stop(server: Server, framing: str) -> None:
    """Who streams a large layer and is refused can read the whole answer, which says that the connection closes."""
    piece = b"x" * (1 << 20)
    framed = b"100000\r\n" + piece + b"\r\n" if "chunked" in framing else piece
    with connect(server) as connection:
        connection.sendall(head("PATCH", "/v2/a/b/blobs/uploads/1", framing))
        for _ in range(20):  # a client that looks at the answer only when it has sent a good part
            connection.sendall(framed)
        answer, body = read_answer(connection)
        assert b" 401 " in answer
        assert b"connection: close" in answer
        assert b"UNAUTHORIZED" in body


def test_who_asks_before_sending_is_refused_before_sending(server: Server) -> None:
    """With `Expect: 100-continue` the refusal comes instead of the word to go on, and the connection closes."""
    with connect(server) as connection:
        fields = ("Content-Length: 1000000", "Expect: 100-continue")
        connection.sendall(head("PUT", "/v2/a/b/manifests/1", *fields))
        answer, _ = read_answer(connection)
        assert answer.startswith(b"http/1.1 401 ")
        assert b"connection: close" in answer
        assert connection.recv(1000) == b""
