"""Parts of files sent by the kernel: the ASGI extension `http.response.zerocopysend`, which Granian does not have.

To send a file through a program costs up to five times the processor time of `sendfile`, and a buffer for each slow
reader. So head and part are written straight into the client's connection, behind the server's back::

    server: reads the head ─► application ─► … waits for an answer …            ─► notices the end, closes
    here:                         └─► finds the socket, writes head and part ─► ends the connection

The server has nothing to write while it waits for the application, and cannot write afterwards: our side of the
connection is shut down, whatever happens. Hence `Connection: close` in the head, and large parts only. Where there is
no such socket (TLS, HTTP/2, a Unix socket), or an earlier answer is still on its way, the part is streamed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import IO, Any, Final, TypeVar

from entrepot.serving.connection import Connections, Ends, end, is_idle
from entrepot.serving.file_part import PATIENCE_SECONDS, FilePart
from entrepot.serving.page_cache import PageCache

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

EXTENSION: Final = "http.response.zerocopysend"
#: What is large lies below this; all other requests are spared the making of a sender.
_BLOBS: Final = b"/blobs/"
_THREADS: Final = 16
_PIECE_BYTES: Final = 256 << 10
_OF_BODIES: Final = frozenset((b"expect", b"content-length", b"transfer-encoding"))
_BROKEN: Final = re.compile(rb"[\r\n\0]")


class ZeroCopy:
    """Offers the extension to the requests of a worker."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="zero-copy")
        self._connections = Connections()
        self.memory = PageCache()

    def offer(self, scope: Message, send: Send) -> Send:
        """Give what a request's application is to send by; its scope says so if it may use the extension."""
        if scope["method"] != "GET" or _BLOBS not in scope["raw_path"]:
            return send
        if scope["scheme"] != "http" or not scope["http_version"].startswith("1"):
            return send
        if not scope["client"][0]:  # a Unix socket
            return send
        if _announces_body(scope["headers"]):
            # To ask whether the client has gone would make the server write "100 Continue" between our bytes.
            return send
        # The server has one dictionary for all requests.
        scope["extensions"] = {**scope["extensions"], EXTENSION: {}}
        return _Sender(self, scope, send)

    def close(self) -> None:
        """Let running calls end, and stop."""
        self._threads.shutdown()

    def take(self, ends: Ends) -> socket.socket | None:
        """Find the connection with these ends, if the server has nothing more to write to it."""
        connection = self._connections.find(ends)
        if connection is not None and not is_idle(connection):
            # The client does not wait for one answer before it asks for the next: the server may have more to write.
            connection.close()
            return None
        return connection

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something in a thread, to its end even when we are cancelled: the files it uses stay open so long."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait((running,))
            running.exception()  # seen, so that asyncio does not report it as lost
            raise


class _Sender:
    """`send` of one request."""

    __slots__ = ("_head", "_scope", "_send", "_zero_copy")

    def __init__(self, zero_copy: ZeroCopy, scope: Message, send: Send) -> None:
        self._zero_copy = zero_copy
        self._scope = scope
        self._send = send
        self._head: Message = {}

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == EXTENSION:
            return self._send_part(message["file"], message["offset"], message["count"])
        if kind == "http.response.start":
            self._head = message  # the server keeps it too, and sends nothing before the first piece of a body
        return self._send(message)

    async def _send_part(self, file: IO[bytes], offset: int, count: int) -> None:
        """Send the only part of the answer; raises ConnectionError when the client has gone, OSError for the file."""
        ends = Ends.of_scope(self._scope)
        connection = self._zero_copy.take(ends)
        if connection is None:
            await self._stream(file.fileno(), offset, count)
            return
        try:
            part = FilePart(head_bytes(self._head["status"], self._head["headers"]), file.fileno(), offset, count)
            await self._push(connection, part, by_copy=self._is_better_copied(ends))
        except TimeoutError as error:
            raise ConnectionAbortedError(*error.args) from error
        finally:
            end(connection)

    async def _push(self, connection: socket.socket, part: FilePart, *, by_copy: bool) -> None:
        while not await self._turn(connection, part, by_copy=by_copy):
            part.patient = await _writable(connection) < PATIENCE_SECONDS

    async def _turn(self, connection: socket.socket, part: FilePart, *, by_copy: bool) -> bool:
        done = None if by_copy else part.push_beginning(connection, self._zero_copy.memory)
        if done is None:
            return await self._zero_copy.run(partial(part.push, connection, by_copy=by_copy))
        return done

    def _is_better_copied(self, ends: Ends) -> bool:
        """Tell whether copying costs this machine less.

        A client that runs here too pays twice for the pages of a file what it pays for bytes copied a moment ago (0.71
        seconds of processor time for a GB, and 0.35), more than the copy costs us (0.18). But copies that wait in a
        connection are lost when the client has enough, which clients do with ranges.
        """
        return ends.local and self._head["status"] != HTTPStatus.PARTIAL_CONTENT

    async def _stream(self, file: int, offset: int, count: int) -> None:
        last = offset + count
        while offset < last:
            piece = await self._zero_copy.run(os.pread, file, min(_PIECE_BYTES, last - offset), offset)
            if not piece:
                raise OSError(errno.EIO, "the file ends before the part to be sent")
            offset += len(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": offset < last})


def _announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    if _OF_BODIES.isdisjoint(dict(headers)):  # as with nearly every GET
        return False
    return any(name in _OF_BODIES and value != b"0" for name, value in headers)


async def _writable(connection: socket.socket) -> float:
    """Wait until a connection takes more bytes; say how many seconds that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ready = loop.create_future()
    loop.add_writer(connection, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(connection)
    return loop.time() - begun


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def head_bytes(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write the head of an answer after which the connection ends (RFC 9112); raises ValueError for a broken header."""
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    for name, value in (*headers, (b"date", formatdate(usegmt=True).encode()), (b"connection", b"close")):
        if not name or _BROKEN.search(name) or _BROKEN.search(value):
            raise ValueError(f"a header has a line break: {name!r}")
        lines.append(name + b": " + value)
    return b"\r\n".join((*lines, b"", b""))
