"""Files written into a client's connection behind the server's back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from entrepot.serving import file_part
from entrepot.serving.connection import Connections, Ends, is_idle
from entrepot.serving.page_cache import PageCache
from entrepot.serving.zero_copy import EXTENSION, ZeroCopy, head_bytes

CONTENT = os.urandom(1 << 20) * 8
HEADERS = [(b"content-length", b"%d" % len(CONTENT)), (b"etag", b'"x"')]
HOSTS = ["127.0.0.1", "::1"]


class Exchange:
    """A connection as the server has it, its client, and what the server was told to send."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.bind((host, 0))
            listener.listen()
            self.client = socket.create_connection(listener.getsockname()[:2])
            self.server, peer = listener.accept()
        self.server.settimeout(0)
        self.client.settimeout(10)
        self.sent: list[dict[str, Any]] = []
        self.zero_copy = ZeroCopy()
        self.scope: dict[str, Any] = {
            "method": "GET",
            "scheme": "http",
            "raw_path": b"/v2/a/blobs/sha256:0",
            "http_version": "1.1",
            "client": (host, str(peer[1])),
            "server": (host, str(self.server.getsockname()[1])),
            "headers": [(b"host", b"here"), (b"content-length", b"0")],
            "extensions": {"http.response.pathsend": {}},
        }

    async def server_send(self, message: dict[str, Any]) -> None:
        """Take what is sent in the ordinary way."""
        self.sent.append(message)

    async def answer(self, path: Path, offset: int = 0, count: int = len(CONTENT), status: int = 200) -> None:
        """Answer with a part of a file, as the application does."""
        send = self.zero_copy.offer(self.scope, self.server_send)
        await send({"type": "http.response.start", "status": status, "headers": HEADERS})
        with path.open("rb") as file:
            await send({"type": EXTENSION, "file": file, "offset": offset, "count": count})

    def received(self) -> bytes:
        """Read all that the client gets until the connection ends."""
        whole = bytearray()
        while piece := self.client.recv(1 << 20):
            whole += piece
        return bytes(whole)

    def close(self) -> None:
        """Close everything."""
        self.zero_copy.close()
        self.client.close()
        self.server.close()

    def reset(self) -> None:
        """Let the client vanish without a farewell."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


class Trips:
    """Counts what is done in threads."""

    def __init__(self, zero_copy: ZeroCopy) -> None:
        self.count = 0
        self._run = zero_copy.run
        zero_copy.run = self.run  # type: ignore[method-assign] # it goes on to what it stands for

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Count, and do it."""
        self.count += 1
        return await self._run(function, *arguments)


class Memory(PageCache):
    """A page cache that holds all files, or none."""

    def __init__(self, *, all_of_it: bool) -> None:
        super().__init__()
        self._all = all_of_it

    def holds(self, file: int, offset: int, count: int) -> bool:
        """Say so."""
        return self._all


def _counted(written: list[int], connection: socket.socket, file: int, offset: int, count: int) -> int:
    written.append(os.sendfile(connection.fileno(), file, offset, count))
    return written[-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to send."""
    path = tmp_path / "data"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["127.0.0.1"])
def exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """A connection, over IPv4 unless the test wants more."""
    with contextlib.closing(Exchange(request.param)) as found:
        yield found


@pytest.mark.parametrize("exchange", HOSTS, indirect=True)
@pytest.mark.parametrize("status", [200, 206])
async def test_head_and_part_reach_the_client(file: Path, exchange: Exchange, status: int) -> None:
    """Both ways of writing send exactly the part after a head that ends the connection; the server sends nothing."""
    _, received = await asyncio.gather(
        exchange.answer(file, 1000, 3_000_000, status), asyncio.to_thread(exchange.received)
    )
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert head.endswith(b"\r\nconnection: close")
    assert b'\r\netag: "x"\r\n' in head
    assert body == CONTENT[1000:3_001_000]
    assert [message["type"] for message in exchange.sent] == ["http.response.start"]


async def test_what_is_in_memory_of_a_ranges_beginning_takes_no_thread(file: Path, exchange: Exchange) -> None:
    """The event loop writes it, which waits for no disk; where the system cannot tell, a thread does."""
    trips = Trips(exchange.zero_copy)
    exchange.zero_copy.memory = Memory(all_of_it=True)
    _, received = await asyncio.gather(exchange.answer(file, 5, 4 << 20, 206), asyncio.to_thread(exchange.received))
    assert received.partition(b"\r\n\r\n")[2] == CONTENT[5 : 5 + (4 << 20)]
    assert trips.count == 0


async def test_what_is_on_the_disk_is_written_by_a_thread(file: Path, exchange: Exchange) -> None:
    """The event loop waits for no disk."""
    trips = Trips(exchange.zero_copy)
    exchange.zero_copy.memory = Memory(all_of_it=False)
    _, received = await asyncio.gather(exchange.answer(file, 5, 2 << 20, 206), asyncio.to_thread(exchange.received))
    assert received.partition(b"\r\n\r\n")[2] == CONTENT[5 : 5 + (2 << 20)]
    assert trips.count > 0


async def test_a_client_that_has_enough_is_not_written_to_for_nothing(
    file: Path, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the rest of a file little more is written than a client takes; who takes all of it has a fast line then."""
    written: list[int] = []
    monkeypatch.setattr(file_part, "_refer", partial(_counted, written))
    exchange.zero_copy.memory = Memory(all_of_it=True)
    exchange.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 10)
    answering = asyncio.create_task(exchange.answer(file, status=206))
    await asyncio.to_thread(exchange.client.recv, 1 << 20, socket.MSG_WAITALL)
    await asyncio.sleep(0.1)
    assert sum(written) < 3 << 20
    rest = await asyncio.to_thread(exchange.received)
    await answering
    assert sum(written) == len(CONTENT)
    assert rest.endswith(CONTENT[-1000:])


async def test_the_server_cannot_write_afterwards(file: Path, exchange: Exchange) -> None:
    """Whatever the server makes of a request that it was told no answer to, it does not reach the client."""
    await asyncio.gather(exchange.answer(file), asyncio.to_thread(exchange.received))
    with pytest.raises(BrokenPipeError):
        exchange.server.send(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    assert exchange.server.recv(1) == b"", "and it sees the end at once"


async def test_a_slow_client_gets_it_all(file: Path, exchange: Exchange) -> None:
    """While a client does not read, no thread waits for it; later it gets the rest."""
    answering = asyncio.create_task(exchange.answer(file))
    await asyncio.sleep(0.2)
    assert not answering.done()
    received = await asyncio.to_thread(exchange.received)
    await answering
    assert received.endswith(CONTENT)


async def test_requests_that_came_too_early_get_streams(file: Path, exchange: Exchange) -> None:
    """With an earlier answer on its way, or another request waiting, the part goes by the server."""
    exchange.client.send(b"GET /v2/ HTTP/1.1\r\n\r\n")
    await exchange.answer(file, 5, 1_000_000)
    pieces = [message["body"] for message in exchange.sent[1:]]
    assert b"".join(pieces) == CONTENT[5:1_000_005]
    assert [message["more_body"] for message in exchange.sent[1:]] == [True] * (len(pieces) - 1) + [False]
    assert is_idle(exchange.server) is False


async def test_bytes_under_way_are_seen(exchange: Exchange) -> None:
    """A connection whose client reads nothing is not idle, one that has had its answer is."""
    assert is_idle(exchange.server)
    with contextlib.suppress(BlockingIOError):
        while exchange.server.send(CONTENT):
            pass
    assert not is_idle(exchange.server)


@pytest.mark.parametrize("patience", [0.0, 0.2])
async def test_a_client_that_vanishes_is_a_connection_error(file: Path, exchange: Exchange, patience: float) -> None:
    """Before the first byte or in the middle: the application is told, and nothing stays open."""
    answering = asyncio.create_task(exchange.answer(file))
    await asyncio.sleep(patience)
    exchange.reset()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(answering, 10)


@pytest.mark.parametrize("status", [200, 206])
async def test_a_file_that_is_too_short_breaks_the_answer(file: Path, exchange: Exchange, status: int) -> None:
    """The client gets fewer bytes than announced and the end of the connection; the application an error."""
    os.truncate(file, 1_000_000)
    answer, received = await asyncio.gather(
        exchange.answer(file, status=status), asyncio.to_thread(exchange.received), return_exceptions=True
    )
    assert isinstance(answer, OSError)
    assert not isinstance(answer, ConnectionError)
    assert isinstance(received, bytes)
    assert received.partition(b"\r\n\r\n")[2] == CONTENT[:1_000_000]


async def test_a_cancelled_answer_ends_the_connection(file: Path, exchange: Exchange) -> None:
    """Cancelled while the client does not read, the answer is cut: the server cannot add to it."""
    answering = asyncio.create_task(exchange.answer(file))
    await asyncio.sleep(0.1)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    with pytest.raises(BrokenPipeError):
        exchange.server.send(b"x")
    assert len(await asyncio.to_thread(exchange.received)) < len(CONTENT)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "HEAD"},
        {"scheme": "https"},
        {"http_version": "2"},
        {"client": ("", "0")},
        {"raw_path": b"/v2/a/manifests/1"},
    ],
    ids=["HEAD", "TLS", "HTTP/2", "a Unix socket", "no blob"],
)
async def test_where_it_cannot_work_it_is_not_offered(exchange: Exchange, change: dict[str, Any]) -> None:
    """The application is not told of the extension, and sends by the server."""
    scope = {**exchange.scope, **change}
    assert exchange.zero_copy.offer(scope, exchange.server_send) == exchange.server_send
    assert EXTENSION not in scope["extensions"]


@pytest.mark.parametrize(
    "header", [(b"expect", b"100-continue"), (b"content-length", b"10"), (b"transfer-encoding", b"chunked")]
)
async def test_a_request_with_a_body_is_answered_by_the_server(exchange: Exchange, header: tuple[bytes, bytes]) -> None:
    """The server writes "100 Continue" when it is asked for the body: that must not come between our bytes."""
    scope = {**exchange.scope, "headers": [header]}
    assert exchange.zero_copy.offer(scope, exchange.server_send) == exchange.server_send


async def test_the_servers_extensions_stay_as_they_are(exchange: Exchange) -> None:
    """The server has one dictionary for all requests: one request's is a copy with one more."""
    before = exchange.scope["extensions"]
    exchange.zero_copy.offer(exchange.scope, exchange.server_send)
    assert before == {"http.response.pathsend": {}}
    assert exchange.scope["extensions"] == {"http.response.pathsend": {}, EXTENSION: {}}


@pytest.mark.parametrize("exchange", HOSTS, indirect=True)
def test_a_connection_is_found_by_both_ends(exchange: Exchange) -> None:
    """Neither when one end is another, nor when it is closed; the second time it is remembered."""
    connections, ends = Connections(), Ends.of_scope(exchange.scope)
    for _ in range(2):
        found = connections.find(ends)
        assert found is not None
        assert found.getpeername() == exchange.server.getpeername()
        assert found.fileno() != exchange.server.fileno()
        found.close()
    assert connections.find(Ends(ends.here, (ends.there[0], 1))) is None
    assert connections.find(Ends((ends.here[0], 1), ends.there)) is None
    exchange.server.close()
    assert connections.find(ends) is None


def test_only_a_client_on_this_machine_is_local() -> None:
    """The same address at both ends."""
    assert Ends(("10.0.0.1", 80), ("10.0.0.1", 4000)).local
    assert not Ends(("10.0.0.1", 80), ("10.0.0.2", 4000)).local


@pytest.mark.parametrize("broken", [(b"a", b"1\r\nx: y"), (b"a\n", b"1"), (b"", b"1"), (b"a", b"1\0")])
def test_a_header_cannot_bring_another_one(broken: tuple[bytes, bytes]) -> None:
    """Whoever puts a line break into a header breaks the answer, not its reader."""
    with pytest.raises(ValueError, match="line break"):
        head_bytes(200, [broken])
