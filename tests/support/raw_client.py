"""Clients that behave badly: they write bytes as they please, and note what comes back and when the connection ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer found in what a server sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The first error's code, as the protocol writes it; empty when the body is no such document."""
        with suppress(ValueError, KeyError, IndexError, TypeError):
            return str(json.loads(self.body)["errors"][0]["code"])
        return ""


@dataclass(frozen=True, slots=True)
class Encounter:
    """How a connection went."""

    received: bytes
    seconds: float  #: until the server closed it
    closed: bool  #: by the server, within the time given

    @property
    def replies(self) -> list[Reply]:
        """The answers, in their order.

        Raises:
            ValueError: What came is no sequence of answers.
        """
        return list(parse_replies(self.received))


def parse_replies(data: bytes) -> Iterator[Reply]:
    """Read answers of known length one after the other.

    Raises:
        ValueError: Something else is among them.
    """
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator or not head.startswith(b"HTTP/1."):
            raise ValueError(f"no answer begins with {data[:60]!r}")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = 0 if status in (100, 204, 304) else int(headers.get("content-length", len(rest)))
        if len(rest) < length:
            raise ValueError(f"an answer of {length} bytes ends after {len(rest)}")
        yield Reply(status, headers, rest[:length])
        data = rest[length:]


async def encounter(
    port: int, request: bytes, *, drip: bytes = b"", every: float = 0.5, patience: float = 60.0, end: bool = False
) -> Encounter:
    """Send bytes, then perhaps a few more every now and then, and listen until the server closes the connection.

    With `end` we close our side after sending, which says that no more will come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    dripping = asyncio.ensure_future(_drip(writer, drip, every)) if drip else None
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        received, closed = await _listen(reader, patience)
        return Encounter(received, time.monotonic() - begun, closed)
    finally:
        if dripping:
            dripping.cancel()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _listen(reader: asyncio.StreamReader, patience: float) -> tuple[bytes, bool]:
    received = b""
    try:
        async with asyncio.timeout(patience):
            while piece := await reader.read(1 << 16):
                received += piece
    except TimeoutError:
        return received, False
    except ConnectionError:
        pass
    return received, True


async def _drip(writer: asyncio.StreamWriter, piece: bytes, every: float) -> None:
    with suppress(ConnectionError):
        while True:
            await asyncio.sleep(every)
            writer.write(piece)
            await writer.drain()


class Pings:
    """Asks for `/v2/` on new connections, again and again, and notes how long each answer took."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self._port = port
        self._task: asyncio.Future[Any] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._ping_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def percentile(self, share: float) -> float:
        """Say within how many seconds that share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * share)]

    async def _ping_on(self) -> None:
        while True:
            result = await encounter(self._port, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert result.replies[0].status == 200
            self.seconds.append(result.seconds)
            await asyncio.sleep(0.02)
