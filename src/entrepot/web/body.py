"""Reading a request's body, piece by piece, without trusting who sends it.

Four things may go wrong: the client leaves, stalls, drips, or sends another number of bytes than it announced. Each
ends the reading with an exception, so that a caller who reaches the end of the iteration has the whole body.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from entrepot.oci.errors import RequestTimeout, SizeInvalid
from entrepot.web.client_timeouts import Patience

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class ClientGone(Exception):
    """The client closed the connection before the exchange was complete."""


class BodyBroken(ClientGone):
    """The server gave the body up: the client closed the connection, or its chunks are malformed (RFC 9112, 7.1).

    Nobody can tell which of the two, so it is answered in case somebody still reads.
    """

    def __init__(self) -> None:
        super().__init__("The request's body broke off, or its chunks are malformed; send the request again.")


class BodyTooLarge(Exception):
    """The body is longer than the caller takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than the {limit} bytes accepted here.")
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """How slowly a body may arrive."""

    stall_seconds: float = 30.0  #: longest wait for the next piece
    window_seconds: float = 30.0  #: time waited for the client after which the rate is judged
    bytes_per_second: int = 1024  #: least rate over one window


class RequestBody:
    """The body as an asynchronous iterator of non-empty pieces; it can be read once.

    Raises while iterating:
        BodyBroken: The server reported anything but body bytes: the request is aborted.
        RequestTimeout: The client stalled, or sent less than the least rate over a window.
        SizeInvalid: The body ended with fewer or more bytes than `Content-Length` announced.
    """

    __slots__ = ("_limits", "_more", "_patience", "_receive", "_waited", "_window_bytes", "announced", "received")

    def __init__(self, receive: Receive, announced: int | None, limits: BodyLimits, *, expected: bool) -> None:
        self._receive = receive
        self._limits = limits
        self._patience = Patience(limits.stall_seconds)
        self._more = expected
        self._waited = 0.0
        self._window_bytes = 0
        self.announced = announced  #: Content-Length, None when the body is chunked
        self.received = 0

    @property
    def empty(self) -> bool:
        """Whether the request's headers already say that there is no body."""
        return not self._more and self.received == 0

    @property
    def finished(self) -> bool:
        """Whether the last byte has been received."""
        return not self._more

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        while self._more:
            piece = await self._next_piece()
            if piece:
                return piece
        raise StopAsyncIteration

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLarge: As soon as it is known that the body exceeds `limit` bytes.
        """
        if self.announced is not None and self.announced > limit:
            raise BodyTooLarge(limit)
        # Not a list of pieces: a client that sends two bytes at a time would make it twenty times as large.
        whole = bytearray()
        async for piece in self:
            if self.received > limit:
                raise BodyTooLarge(limit)
            whole += piece
        return bytes(whole)

    async def _next_piece(self) -> bytes:
        message = await self._receive_in_time()
        if message["type"] != "http.request":
            raise BodyBroken
        piece: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        if not self._more:
            self._patience.stop()
        self.received += len(piece)
        self._check_length()
        self._check_rate(len(piece))
        return piece

    async def _receive_in_time(self) -> Message:
        started = time.monotonic()
        try:
            return await self._patience.wait(self._receive())
        except TimeoutError:
            raise RequestTimeout(
                f"No byte of the request body arrived for {self._limits.stall_seconds:g} s; send the request again."
            ) from None
        finally:
            self._waited += time.monotonic() - started

    def _check_length(self) -> None:
        if self.announced is None:
            return
        if self.received > self.announced or (not self._more and self.received < self.announced):
            raise SizeInvalid(f"Content-Length announced {self.announced} bytes; {self.received} arrived.")

    def _check_rate(self, arrived: int) -> None:
        # Only time spent waiting for the client counts, so that a slow disk of ours never looks like a slow client.
        self._window_bytes += arrived
        if not self._more or self._waited < self._limits.window_seconds:
            return
        if self._window_bytes < self._limits.bytes_per_second * self._waited:
            raise RequestTimeout(
                f"The request body came slower than {self._limits.bytes_per_second} bytes/s; send it again."
            )
        self._waited = 0.0
        self._window_bytes = 0
