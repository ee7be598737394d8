"""The edges of the real server, byte for byte on the wire (docs/adr: server edge).

What the server does by itself is here because the application counts on it; each test says which of the two answers.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.support.server import Server

#: Seconds of silence, of dripping and of not reading after which a connection is ended; 30 in production.
PATIENCE = 2.0
CONTENT = os.urandom(1 << 20) * 64
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
BLOB = f"/v2/edge/case/blobs/{DIGEST}"
MIDDLE = 900_000  #: bytes of a part that is not yet a large one
UPLOADS = "/v2/edge/case/blobs/uploads/"


@dataclass
class Reply:
    """What came back on a connection until it was closed or fell silent."""

    raw: bytes
    closed: bool
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """The statuses of all answers."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.raw)]

    @property
    def oci(self) -> bool:
        """Whether the answer has an OCI error body."""
        return b'{"errors":[{"code":"' in self.raw


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a registry that is open to everybody, impatient, with one worker."""
    limits = {"bodytimeout": f"{PATIENCE:g}s", "bodyrate": 1024, "requests": 40}
    with Server(config={"http": {"limits": limits}}, workers=1) as running:
        talk(running, head("POST", f"{UPLOADS}?digest={DIGEST}", f"Content-Length: {len(CONTENT)}"), CONTENT)
        yield running


def head(method: str, target: str, *headers: str) -> bytes:
    """Write the head of a request."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: registry.test", *headers, "", ""]).encode("latin-1")


def connect(server: Server) -> socket.socket:
    """Open a connection."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(30)
    return connection


@contextmanager
def many(server: Server, number: int) -> Iterator[list[socket.socket]]:
    """Open connections for a while."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(number)]


def read_all(connection: socket.socket, silence: float) -> Reply:
    """Read until the connection is closed, or nothing comes for `silence` seconds."""
    began = time.monotonic()
    connection.settimeout(silence)
    raw = bytearray()
    closed = False
    try:
        while piece := connection.recv(1 << 20):
            raw += piece
        closed = True
    except TimeoutError:
        pass
    except ConnectionError:
        closed = True
    return Reply(bytes(raw), closed, time.monotonic() - began)


def talk(server: Server, *parts: bytes, silence: float = 1.0) -> Reply:
    """Send parts on a new connection and read what comes back."""
    with connect(server) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except ConnectionError:
                break  # an early answer ends the connection while we still send
        return read_all(connection, silence)


def open_files(server: Server, text: str) -> int:
    """Count how often the workers have files open whose path contains a text."""
    return sum(text in file.path for worker in server.web_workers() for file in worker.open_files())


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for something to become true; tell whether it did."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_head_keeps_the_connection_in_step(server: Server) -> None:
    """HEAD, errors and small answers on one connection: each answer is exactly as long as it says (application)."""
    parts = [
        head("HEAD", BLOB),
        head("GET", "/v2/"),
        head("HEAD", "/v2/no/such/tags/list"),
        head("GET", "/v2/no/such/tags/list"),
        head("GET", BLOB, "Range: bytes=0-9"),
        head("GET", BLOB, f'If-None-Match: "{DIGEST}"'),
        head("GET", "/v2/"),
    ]
    reply = talk(server, b"".join(parts))
    assert reply.statuses == [200, 200, 404, 404, 206, 304, 200]
    assert not reply.closed


def test_whole_files_and_parts_are_complete(server: Server) -> None:
    """A whole blob, the same as `bytes=0-`, and a part of it arrive with every byte and no more (application)."""
    for headers, expected in (
        ((), CONTENT),
        (("Range: bytes=0-",), CONTENT),
        (("Range: bytes=1-",), CONTENT[1:]),
        (("Range: bytes=7-2000006",), CONTENT[7:2_000_007]),
    ):
        reply = talk(server, head("GET", BLOB, *headers))
        top, _, body = reply.raw.partition(b"\r\n\r\n")
        assert body == expected
        assert reply.closed
        assert b"\r\nconnection: close" in top
        assert b"\r\ncontent-length: %d\r\n" % len(expected) in top


def test_a_small_part_keeps_the_connection(server: Server) -> None:
    """After a part of a few bytes the same connection answers the next request (application)."""
    expected = CONTENT[-5000:]
    last = head("GET", "/v2/", "Connection: close")
    reply = talk(server, head("GET", BLOB, f"Range: bytes={len(CONTENT) - 5000}-"), last)
    _, _, body = reply.raw.partition(b"\r\n\r\n")
    assert body[: len(expected)] == expected
    assert body[len(expected) :].startswith(b"HTTP/1.1 200 ")


def test_a_large_blob_follows_other_answers(server: Server) -> None:
    """On a connection that has had an answer a large blob arrives whole, and with it the connection ends."""
    with connect(server) as connection:
        connection.sendall(head("GET", "/v2/"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        connection.sendall(head("GET", BLOB))
        reply = read_all(connection, 10)
    assert reply.statuses[:1] == [200]
    assert reply.raw.partition(b"\r\n\r\n")[2] == CONTENT
    assert reply.closed


def test_clients_that_do_not_wait_get_whole_answers_in_order(server: Server) -> None:
    """Requests sent before the first answer was read: no answer has bytes of another one in it (both)."""
    middle = f"Range: bytes=0-{MIDDLE - 1}"  # sent by the server, slowly, since nobody reads
    with connect(server) as connection:
        connection.sendall(head("GET", BLOB, middle) * 20 + head("GET", BLOB))
        time.sleep(0.5)
        received = read_all(connection, 2).raw
    for _ in range(20):
        top, _, received = received.partition(b"\r\n\r\n")
        assert top.startswith(b"HTTP/1.1 206 ")
        assert received[:MIDDLE] == CONTENT[:MIDDLE]
        received = received[MIDDLE:]
    top, _, received = received.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 200 ")
    assert received == CONTENT


@pytest.mark.parametrize(
    "headers",
    [("Content-Length: 3", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 3")],
)
def test_two_lengths_smuggle_nothing(server: Server, headers: tuple[str, ...]) -> None:
    """With both, the server takes the chunks alone and closes: nothing after them is a request (server)."""
    hidden = head("GET", "/v2/hidden/tags/list")
    reply = talk(server, head("POST", UPLOADS, *headers), b"0\r\n\r\n", hidden)
    assert len(reply.statuses) == 1
    assert reply.closed


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Transfer-Encoding: gzip, chunked",), b"3\r\nabc\r\n0\r\n\r\n"),
        (("Transfer-Encoding: identity",), b"abc"),
        (("Transfer-Encoding: xchunked",), b"3\r\nabc\r\n0\r\n\r\n"),
        (("Transfer-Encoding : chunked",), b"0\r\n\r\n"),
        (("Content-Length: 3", "Content-Length: 4"), b"abcd"),
        (("Content-Length: +3",), b"abc"),
        (("Content-Length: 0x3",), b"abc"),
        (("Transfer-Encoding: chunked",), b"zz\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_odd_framing_is_refused(server: Server, headers: tuple[str, ...], body: bytes) -> None:
    """What a proxy could read differently is refused and ends the connection (either of the two)."""
    reply = talk(server, head("PUT", f"{UPLOADS}some-session?digest={DIGEST}", *headers), body, head("GET", "/v2/"))
    assert reply.statuses[:1] in ([400], []) or reply.statuses == [404]
    assert len(reply.statuses) <= 1
    assert reply.closed


BAD_CHUNKS = (b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"-1\r\n\r\n")


def send_bad_chunks(server: Server, method: str, target: str, kind: str) -> Iterator[Reply]:
    """Send bodies in chunks that are none, each followed by another request."""
    for body in BAD_CHUNKS:
        request_head = head(method, target, f"Content-Type: {kind}", "Transfer-Encoding: chunked")
        yield talk(server, request_head + body, head("GET", "/v2/"), silence=5)


@pytest.mark.parametrize("place", ["upload", "manifest", "api"])
def test_bad_chunks_are_answered_in_the_form_of_the_place(server: Server, place: str) -> None:
    """Where the application says nothing the server answers 500: it is 400 with a reason, and the connection ends."""
    session = re.search(
        rb"location: http://registry\.test([^\s?]+)", talk(server, head("POST", UPLOADS), silence=0.3).raw
    )
    assert session
    where = {
        "upload": ("PATCH", session[1].decode(), "application/octet-stream"),
        "manifest": ("PUT", "/v2/edge/case/manifests/v1", "application/vnd.oci.image.manifest.v1+json"),
        "api": ("POST", "/api/v2.0/projects", "application/json"),
    }[place]
    for reply in send_bad_chunks(server, *where):
        assert (reply.statuses, reply.oci, reply.closed) == ([400], True, True)


def test_bad_chunks_of_a_token_request_are_answered_as_oauth_says() -> None:
    """Clients of the token endpoint read `error` (RFC 6749, section 5.2)."""
    with Server(workers=1) as server:
        for reply in send_bad_chunks(server, "POST", "/token", "application/x-www-form-urlencoded"):
            assert (reply.statuses, reply.closed) == ([400], True)
            assert b'{"error":"invalid_request"' in reply.raw


@pytest.mark.parametrize(
    ("version", "hosts", "statuses"),
    [
        ("1.1", ("Host: a.test", "Host: b.test"), [400]),
        ("1.1", ("Host: a.test", "Host: a.test"), [400]),
        ("1.0", ("Host: a.test", "Host: b.test"), [400]),
        ("1.1", (), [400]),
        ("1.1", ("Host:",), [400]),
        ("1.0", (), [200]),
        ("1.1", ("Host: a.test",), [200]),
    ],
)
def test_a_request_has_one_host(server: Server, version: str, hosts: tuple[str, ...], statuses: list[int]) -> None:
    """Two, or none in HTTP/1.1, are 400 (RFC 9112, section 3.2); a health check in HTTP/1.0 needs none."""
    lines = "\r\n".join([f"GET /healthz HTTP/{version}", *hosts, "Connection: close", "", ""]).encode()
    reply = talk(server, lines)
    assert [int(each) for each in re.findall(rb"HTTP/1\.[01] (\d{3}) ", reply.raw)] == statuses


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("GET", "/v2/" + "a" * 9000), 414),
        (head("GET", "/v2/", *(f"X-{number}: 1" for number in range(92))), 431),
        (head("GET", "/v2/", *(f"X-{number}: {'a' * 3000}" for number in range(25))), 431),
    ],
)
def test_our_limits_answer_before_the_servers(server: Server, request_head: bytes, status: int) -> None:
    """Too long an address and too many or too large headers get an OCI error (application)."""
    reply = talk(server, request_head)
    assert (reply.statuses, reply.oci) == ([status], True)


def test_the_servers_limits_stand_behind_ours(server: Server) -> None:
    """Far beyond our limits the server refuses by itself, without an explanation (server)."""
    assert talk(server, head("GET", "/v2/", *(f"X-{n}: 1" for n in range(300)))).statuses == [431]
    assert talk(server, head("GET", "/v2/" + "a" * 70_000)).statuses == [414]


def test_a_stalled_body_is_cut(server: Server) -> None:
    """A body that stops gets 408, and the connection is closed (application)."""
    reply = talk(server, head("POST", f"{UPLOADS}?digest={DIGEST}", "Content-Length: 100"), b"x", silence=20)
    assert (reply.statuses, reply.oci, reply.closed) == ([408], True, True)
    assert PATIENCE * 0.9 <= reply.seconds < PATIENCE * 5


def test_a_dripping_body_is_cut(server: Server) -> None:
    """A body slower than the least rate gets 408 although it never stops (application)."""
    with connect(server) as connection:
        connection.sendall(head("POST", f"{UPLOADS}?digest={DIGEST}", "Content-Length: 100000"))
        began = time.monotonic()
        try:
            while time.monotonic() - began < 30:
                connection.sendall(b"x")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() - began < PATIENCE * 5
        assert b" 408 " in read_all(connection, 1).raw or time.monotonic() - began < 30


def test_a_cut_upload_is_an_abort(server: Server) -> None:
    """A client that leaves in its body leaves no blob and no answer; the bytes stay in the session (both)."""
    started = talk(server, head("POST", UPLOADS, "Content-Length: 0"))
    location = re.search(rb"location: http://registry\.test(\S+)", started.raw)
    assert location
    session = location[1].decode()
    with connect(server) as connection:
        connection.sendall(head("PATCH", session, "Content-Length: 100000") + b"x" * 5000)
        time.sleep(0.3)

    def offset() -> bytes:
        return talk(server, head("GET", session), silence=0.3).raw

    assert wait_until(lambda: b"range: 0-4999" in offset())


def test_expect_100_waits_for_the_application(server: Server) -> None:
    """`100 Continue` comes only when the body is asked for: a refused push sends none of it (both)."""
    digest = "sha256:" + hashlib.sha256(b"abc").hexdigest()
    expect = ("Expect: 100-continue", "Content-Length: 3")
    with connect(server) as connection:
        connection.sendall(head("POST", f"{UPLOADS}?digest={digest}", *expect))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"abc")
        assert b"HTTP/1.1 201" in read_all(connection, 1).raw
    refused = talk(server, head("POST", f"/v2/BAD/blobs/uploads/?digest={digest}", *expect))
    assert refused.statuses == [400]


def test_an_early_answer_ends_a_large_body(server: Server) -> None:
    """A push that is refused by its head is answered at once, and the rest is not read (server)."""
    request_head = head("PUT", "/v2/a/manifests/v1", f"Content-Length: {1 << 30}")
    reply = talk(server, request_head, *(bytes(1 << 16) for _ in range(100)), silence=5)
    assert reply.statuses in ([413], [])  # the reset of a connection with unread bytes may overtake the answer
    assert reply.closed


def test_a_client_that_leaves_frees_the_file(server: Server) -> None:
    """Streams whose client has gone are closed soon (application)."""
    with many(server, 10) as connections:
        for connection in connections:
            connection.sendall(head("GET", BLOB, "Range: bytes=1-"))
            connection.recv(1000)
        assert open_files(server, DIGEST[7:]) > 0
    assert wait_until(lambda: open_files(server, DIGEST[7:]) == 0)


@pytest.mark.parametrize("headers", [(), ("Range: bytes=1-",)], ids=["file", "stream"])
def test_a_client_that_does_not_read_is_cut(server: Server, headers: tuple[str, ...]) -> None:
    """A reader that has stopped is ended by the kernel, for files and streams alike (application)."""
    with many(server, 10) as connections:
        for connection in connections:
            connection.sendall(head("GET", BLOB, *headers))
        assert wait_until(lambda: open_files(server, DIGEST[7:]) >= 10), "they are being served"
        began = time.monotonic()
        assert wait_until(lambda: open_files(server, DIGEST[7:]) == 0, 30)
        assert time.monotonic() - began < PATIENCE * 6


def test_a_client_that_reads_slowly_is_served(server: Server) -> None:
    """A reader that is slow, but reads, is not cut."""
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.sendall(head("GET", BLOB))
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE * 3:
            assert connection.recv(20_000)
            time.sleep(0.1)


def test_half_open_requests_are_cut_and_others_served(server: Server) -> None:
    """Heads that never end are closed within 12 s, and nobody else waits for them (server)."""
    with many(server, 300) as connections:
        for connection in connections:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Drip: ")
        began = time.monotonic()
        slowest = 0.0
        while time.monotonic() - began < 2:
            asked = time.monotonic()
            assert talk(server, head("GET", "/v2/", "Connection: close")).statuses == [200]
            slowest = max(slowest, time.monotonic() - asked)
        assert slowest < 1
        assert all(read_all(each, max(0.01, 12 - (time.monotonic() - began))).closed for each in connections)


def test_more_requests_than_places_are_503(server: Server) -> None:
    """Beyond the limit of requests at once, clients get 503 with Retry-After, never a hanging connection."""
    with many(server, 40) as waiting:
        for connection in waiting:
            connection.sendall(head("PUT", "/v2/edge/case/manifests/v1", "Content-Length: 5") + b"x")
        assert wait_until(lambda: talk(server, head("GET", "/v2/"), silence=0.2).statuses == [503])
        assert b"retry-after: 1\r\n" in talk(server, head("GET", "/v2/"), silence=0.2).raw
        assert talk(server, head("GET", "/healthz"), silence=0.2).statuses == [200]
    assert wait_until(lambda: talk(server, head("GET", "/v2/"), silence=0.2).statuses == [200])


def test_a_blob_that_shrinks_while_it_is_sent_is_visibly_broken() -> None:
    """Whatever happens to the file, an answer never ends cleanly with other bytes than announced (both)."""
    with Server(config={}, workers=1) as server:
        talk(server, head("POST", f"{UPLOADS}?digest={DIGEST}", f"Content-Length: {len(CONTENT)}"), CONTENT)
        path = next(server.data.glob(f"docker/registry/v2/blobs/sha256/*/{DIGEST[7:]}/data"))
        for headers in ((), ("Range: bytes=1-",)):
            with connect(server) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
                connection.sendall(head("GET", BLOB, *headers))
                connection.recv(1000)
                os.truncate(path, 1 << 20)
                reply = read_all(connection, 5)
                assert reply.closed
                assert len(reply.raw) < len(CONTENT) - 1000
            path.write_bytes(CONTENT)


def test_bodies_in_parallel_stay_in_small_memory(server: Server) -> None:
    """Uploads and streams of 64 MiB, four of each at once, do not pile up in the worker."""
    (worker,) = server.web_workers()
    before = worker.memory_info().rss
    threads = [threading.Thread(target=_upload, args=(server,)) for _ in range(4)]
    threads += [threading.Thread(target=talk, args=(server, head("GET", BLOB, "Range: bytes=1-"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, worker.memory_info().rss)
        time.sleep(0.02)
    assert peak - before < 100 * (1 << 20)


def _upload(server: Server) -> None:
    request_head = head("POST", f"{UPLOADS}?digest={DIGEST}", f"Content-Length: {len(CONTENT)}", "Connection: close")
    assert talk(server, request_head, CONTENT, silence=20).statuses == [201]
