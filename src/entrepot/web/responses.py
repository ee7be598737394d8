"""Answers and how they are sent.

A handler returns one of the classes below; `Response.send` writes it to the server. The length of every answer goes
through one function, `_head`, so that a `Content-Length` never differs from the bytes that follow it: the server would
hand the rest of one answer to the next request of the same connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from entrepot.web.body import ClientGone, Message

if TYPE_CHECKING:
    from entrepot.web.http import Header, Request

T = TypeVar("T")

Send = Callable[[Message], Awaitable[None]]

JSON_HEADER: Header = (b"content-type", b"application/json; charset=utf-8")
#: Data runs nothing and is framed by nobody, should a browser show it.
DATA_POLICY: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
#: What somebody pushed: no browser is to run it under our name.
PUSHED_POLICY: Header = (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")
#: Answers change with the rights of who asks; nobody between us may keep one.
NO_STORE: Header = (b"cache-control", b"no-store")
ATTACHMENT: Header = (b"content-disposition", b"attachment")
NO_BODY_STATUSES = frozenset({204, 304})


class Response:
    """An answer without a body."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: Sequence[Header] = ()) -> None:
        self.status = status
        self.headers = headers

    @property
    def length(self) -> int:
        """Number of body bytes that follow the head."""
        return 0

    @property
    def whole_body(self) -> bytes | None:
        """The body, when all of it is in memory."""
        return None if self.length else b""

    async def send(self, request: Request, send: Send) -> None:
        """Write the answer to the server; to HEAD, only its head."""
        await send(self._head(request))
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._send_body(request, send)

    def _head(self, request: Request) -> Message:
        request.started = True
        request.status = self.status
        return {"type": "http.response.start", "status": self.status, "headers": self.all_headers(request)}

    def all_headers(self, request: Request) -> list[Header]:
        """Return the headers as they are sent: the one place that writes content-length, from what a body must have."""
        headers = [*self.headers, *request.extra_headers]
        if self.status not in NO_BODY_STATUSES:
            headers.append((b"content-length", b"%d" % self.length))
        return headers

    async def _send_body(self, request: Request, send: Send) -> None:  # noqa: ARG002 - the same for all answers
        await send({"type": "http.response.body", "body": b""})


class BytesResponse(Response):
    """An answer whose body is in memory."""

    __slots__ = ("body",)

    def __init__(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        super().__init__(status, headers)
        self.body = body

    @property
    def length(self) -> int:
        return len(self.body)

    @property
    def whole_body(self) -> bytes | None:
        return self.body

    async def _send_body(self, request: Request, send: Send) -> None:
        request.bytes_out = len(self.body)
        await send({"type": "http.response.body", "body": self.body})


class HeadResponse(Response):
    """The head of an answer whose body is not at hand, for HEAD only; the length is the one that GET would have."""

    __slots__ = ("_length",)

    def __init__(self, status: int, headers: Sequence[Header], length: int) -> None:
        super().__init__(status, headers)
        self._length = length

    @property
    def length(self) -> int:
        return self._length

    @property
    def whole_body(self) -> bytes | None:
        return b""

    async def _send_body(self, request: Request, send: Send) -> None:  # noqa: ARG002 - never reached
        raise AssertionError("a HEAD answer was given to " + request.method)


class FileResponse(Response):
    """A whole file, sent by the server itself (ASGI `http.response.pathsend`)."""

    __slots__ = ("_length", "path")

    def __init__(self, status: int, headers: Sequence[Header], path: str, length: int) -> None:
        super().__init__(status, headers)
        self.path = path
        self._length = length

    @property
    def length(self) -> int:
        return self._length

    async def _send_body(self, request: Request, send: Send) -> None:
        request.bytes_out = self._length
        await send({"type": "http.response.pathsend", "path": self.path})


class FilePartResponse(Response):
    """A part of a file, or all of it, sent by the kernel (ASGI `http.response.zerocopysend`)."""

    __slots__ = ("_length", "path", "start")

    def __init__(self, status: int, headers: Sequence[Header], path: str, start: int, length: int) -> None:
        super().__init__(status, headers)
        self._length = length
        self.path = path
        self.start = start

    @property
    def length(self) -> int:
        return self._length

    async def _send_body(self, request: Request, send: Send) -> None:
        await until_gone(request, self._pump(request, send))

    async def _pump(self, request: Request, send: Send) -> None:
        request.bytes_out = self._length
        with open(self.path, "rb", buffering=0) as file:  # noqa: ASYNC230, PTH123 - as short as the stat before it
            message = {"type": "http.response.zerocopysend", "file": file, "offset": self.start, "count": self._length}
            try:
                await send(message)
            except ConnectionError:
                raise ClientGone from None


class StreamResponse(Response):
    """A body that arrives in pieces."""

    __slots__ = ("_length", "pieces")

    def __init__(self, status: int, headers: Sequence[Header], pieces: AsyncIterator[bytes], length: int) -> None:
        super().__init__(status, headers)
        self._length = length
        self.pieces = pieces

    @property
    def length(self) -> int:
        return self._length

    async def send(self, request: Request, send: Send) -> None:
        try:
            await super().send(request, send)
        finally:
            if isinstance(self.pieces, AsyncGenerator):
                await self.pieces.aclose()

    async def _send_body(self, request: Request, send: Send) -> None:
        await until_gone(request, self._pump(request, send))

    async def _pump(self, request: Request, send: Send) -> None:
        async for piece in self.pieces:
            request.bytes_out += len(piece)
            if request.bytes_out > self._length:
                raise LengthMismatch(self._length, request.bytes_out)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if request.bytes_out != self._length:
            raise LengthMismatch(self._length, request.bytes_out)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class LengthMismatch(Exception):
    """A stream had another number of bytes than its head announced; the transfer must not end cleanly."""

    def __init__(self, announced: int, sent: int) -> None:
        super().__init__(f"an answer announced {announced} bytes and had {sent} when it was cut")


async def until_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do something that takes long, as sending a long body; it ends early when the client leaves.

    Raises:
        ClientGone: The client left before the end.
    """
    # The server's send() neither raises nor returns early when the client leaves: only receive() tells.
    doing = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(request.wait_until_gone())
    try:
        await asyncio.wait((doing, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientGone
        return doing.result()
    finally:
        await _cancel(doing, watcher)


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def json_response(status: int, document: Any, headers: Sequence[Header] = ()) -> BytesResponse:
    """Return an answer whose body is `document` as compact JSON."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return BytesResponse(status, [JSON_HEADER, DATA_POLICY, *headers], body)
