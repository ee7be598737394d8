"""A relay between a client and a server that harms what passes: late, slow, cut, silent, changed, refused.

It runs in a thread of its own, so that a test may block, and what it does is changed while connections are open:

    with chaos(server_port) as relay:
        relay.rules = Rules(delay=0.2, jitter=0.1)
        relay.cut_all()
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

_PIECE = 64 * 1024


class Cut(Enum):
    """Where a connection ends once the client has sent a marker."""

    BEFORE = "the server does not get it"
    AT_ONCE = "the server gets it, and nobody waits for the answer"
    ANSWER = "the server gets it and answers, and the answer is lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What happens to bytes, in either direction; all at once if several are set."""

    delay: float = 0.0  #: seconds for each piece
    jitter: float = 0.0  #: up to so much more or less
    rate: float = 0.0  #: bytes a second; 0 is no limit
    refuse: bool = False  #: new connections are closed at once
    silent: bool = False  #: nothing passes, nothing is closed: a black hole, until the rule ends
    cut_after: int = 0  #: bytes to the client, after which a connection is reset
    flip_at: int = 0  #: the byte to the client, counted from 1, that has one bit changed
    marker: bytes = b""  #: what of the client's bytes `cut` waits for
    cut: Cut | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    """One client's way to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    to_client: int = 0
    answer_is_lost: bool = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


@dataclass(slots=True)
class Relay:
    """A running relay."""

    target: tuple[str, int]
    port: int = 0
    rules: Rules = field(default_factory=Rules)
    #: Asked for each piece of a client's: whether `cut` is to happen now. None: at each marker.
    choose: Callable[[], Cut | None] | None = None
    accepted: int = 0
    cuts: int = 0
    _connections: set[_Connection] = field(default_factory=set)
    #: Those that are closed as soon as everything was sent, which may be never.
    _ended: list[_Connection] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None

    def cut_all(self) -> None:
        """Reset all connections that are open now."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._cut_all(), self._loop).result(10)

    async def _cut_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.rules.refuse:
            writer.transport.abort()
            return
        await self._while_silent()
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, server_writer)
        self._connections.add(connection)
        ways = [
            asyncio.create_task(self._to_server(connection, reader)),
            asyncio.create_task(self._to_client(connection, server_reader)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._connections.discard(connection)
            self._ended.append(connection)
            for side in (writer, server_writer):
                side.close()

    async def _to_server(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._hold_up(len(piece))
                cut = self._cut_for(piece)
                if cut is Cut.BEFORE:
                    connection.reset()
                    return
                connection.answer_is_lost = cut is Cut.ANSWER
                connection.server.write(piece)
                await connection.server.drain()
                if cut is Cut.AT_ONCE:
                    await asyncio.sleep(0)
                    connection.reset()
                    return

    async def _to_client(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._hold_up(len(piece))
                rules, before = self.rules, connection.to_client
                connection.to_client += len(piece)
                if connection.answer_is_lost:
                    connection.reset()
                    return
                if before < rules.flip_at <= connection.to_client:
                    piece = _flipped(piece, rules.flip_at - before - 1)
                if 0 < rules.cut_after <= connection.to_client:
                    connection.client.write(piece[: rules.cut_after - before])
                    await connection.client.drain()
                    connection.reset()
                    return
                connection.client.write(piece)
                await connection.client.drain()

    def _cut_for(self, piece: bytes) -> Cut | None:
        if not self.rules.marker or self.rules.marker not in piece:
            return None
        cut = self.rules.cut if self.choose is None else self.choose()
        self.cuts += cut is not None
        return cut

    async def _hold_up(self, size: int) -> None:
        rules = self.rules
        seconds = rules.delay + random.uniform(-rules.jitter, rules.jitter) + (size / rules.rate if rules.rate else 0)
        if seconds > 0:
            await asyncio.sleep(seconds)
        await self._while_silent()

    async def _while_silent(self) -> None:
        while self.rules.silent:
            await asyncio.sleep(0.01)


def _flipped(piece: bytes, place: int) -> bytes:
    changed = bytearray(piece)
    changed[place] ^= 1
    return bytes(changed)


@contextmanager
def chaos(port: int, host: str = "127.0.0.1") -> Iterator[Relay]:
    """Relay from a free port of the loopback to a server; in the end all connections are reset."""
    relay, started = Relay((host, port)), threading.Event()
    stopping: list[asyncio.Event] = []

    async def run() -> None:
        relay._loop = asyncio.get_running_loop()
        stopping.append(asyncio.Event())
        server = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopping[0].wait()
        server.close()
        relay.rules = Rules()
        await relay._cut_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=5) if others else None
        for connection in relay._ended:
            connection.reset()
        await asyncio.sleep(0.01)  # what was reset is closed in the next turns of the loop

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="chaos")
    thread.start()
    try:
        assert started.wait(10), "the relay did not start"
        yield relay
    finally:
        assert relay._loop is not None
        relay._loop.call_soon_threadsafe(stopping[0].set)
        thread.join(20)
        assert not thread.is_alive()
