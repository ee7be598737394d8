"""Sending answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot.web.body import ClientGone
from entrepot.web.http import Request
from entrepot.web.responses import (
    BytesResponse,
    FilePartResponse,
    FileResponse,
    HeadResponse,
    LengthMismatch,
    Response,
    StreamResponse,
    json_response,
)

Message = dict[str, Any]


class Server:
    """The server's end of one exchange."""

    def __init__(self, method: str = "GET") -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.blocked = False
        self.request = Request({"method": method, "raw_path": b"/", "query_string": b"", "headers": []}, self.receive)
        self.request.extra_headers = ((b"x-extra", b"1"),)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.blocked and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers sent."""
        return dict(self.sent[0]["headers"])


async def pieces(*data: bytes, closed: list[bool] | None = None) -> AsyncIterator[bytes]:
    """Yield pieces, and note when that is ended."""
    try:
        for piece in data:
            yield piece
            await asyncio.sleep(0)
    finally:
        if closed is not None:
            closed.append(True)


MAKERS: list[Callable[[], Response]] = [
    lambda: Response(201),
    lambda: BytesResponse(200, (), b"abc"),
    lambda: FileResponse(200, (), "/nowhere", 3),
    lambda: StreamResponse(200, (), pieces(b"ab", b"c"), 3),
]


@pytest.mark.parametrize("make", MAKERS)
async def test_the_length_is_told_once(make: Callable[[], Response]) -> None:
    """Every answer with a body has one Content-Length, and the headers of the request."""
    server, response = Server(), make()
    await response.send(server.request, server.send)
    assert [name for name, _ in server.sent[0]["headers"]].count(b"content-length") == 1
    assert server.headers[b"content-length"] == b"%d" % response.length
    assert server.headers[b"x-extra"] == b"1"
    assert server.request.status == response.status


@pytest.mark.parametrize("make", [*MAKERS, lambda: HeadResponse(200, (), 3)])
async def test_head_has_the_length_and_no_body(make: Callable[[], Response]) -> None:
    """To HEAD, the same head is sent, and an empty end."""
    server, response = Server("HEAD"), make()
    await response.send(server.request, server.send)
    assert server.headers[b"content-length"] == b"%d" % response.length
    assert server.sent[1:] == [{"type": "http.response.body", "body": b""}]


@pytest.mark.parametrize("status", [204, 304])
async def test_some_statuses_have_no_length(status: int) -> None:
    """204 and 304 have no Content-Length (RFC 9110 section 8.6)."""
    server = Server()
    await Response(status).send(server.request, server.send)
    assert b"content-length" not in server.headers


@pytest.mark.parametrize("data", [(b"ab",), (b"ab", b"cd"), ()])
async def test_a_stream_of_another_length_never_ends_cleanly(data: tuple[bytes, ...]) -> None:
    """Too few or too many bytes raise, and no last message is sent."""
    server = Server()
    with pytest.raises(LengthMismatch):
        await StreamResponse(200, (), pieces(*data), 3).send(server.request, server.send)
    assert all(message.get("more_body") for message in server.sent[1:])


async def test_a_client_that_leaves_ends_a_blocked_stream() -> None:
    """Also while the server waits for a reader that will not come, the stream is closed."""
    server, closed = Server(), []
    server.blocked = True
    sending = asyncio.create_task(
        StreamResponse(200, (), pieces(b"a", b"b", closed=closed), 2).send(server.request, server.send)
    )
    await asyncio.sleep(0.01)
    assert not sending.done()
    server.gone.set()
    with pytest.raises(ClientGone):
        await sending
    assert closed == [True]


async def test_a_part_of_a_file_is_sent_open(tmp_path: Path) -> None:
    """The server gets the file with the part to send; the file is closed afterwards."""
    server = Server()
    (tmp_path / "data").write_bytes(b"0123456789")
    await FilePartResponse(206, (), str(tmp_path / "data"), 3, 4).send(server.request, server.send)
    assert server.headers[b"content-length"] == b"4"
    [message] = server.sent[1:]
    assert (message["type"], message["offset"], message["count"]) == ("http.response.zerocopysend", 3, 4)
    assert message["file"].closed
    assert server.request.bytes_out == 4


async def test_a_client_that_leaves_a_part_of_a_file_is_no_fault(tmp_path: Path) -> None:
    """What the server says of a broken connection is what leaving always is."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.zerocopysend":
            raise BrokenPipeError

    (tmp_path / "data").write_bytes(b"0123456789")
    with pytest.raises(ClientGone):
        await FilePartResponse(206, (), str(tmp_path / "data"), 3, 4).send(Server().request, send)


async def test_a_stream_is_closed_when_its_end_is_sent() -> None:
    """A stream that was sent to its end leaves neither its source nor its watcher open."""
    server, closed = Server(), []
    await StreamResponse(200, (), pieces(b"abc", closed=closed), 3).send(server.request, server.send)
    assert closed == [True]
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_stream_that_was_never_begun_is_closed() -> None:
    """HEAD on a stream opens nothing and leaves nothing open."""
    server = Server("HEAD")
    source = pieces(b"abc")
    await StreamResponse(200, (), source, 3).send(server.request, server.send)
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_json_is_compact_utf8() -> None:
    """Documents are written without spaces, as UTF-8."""
    assert json_response(200, {"a": ["é", 1]}).body == '{"a":["é",1]}'.encode()
