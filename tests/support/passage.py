"""A way into a network namespace for a server that runs outside of it, on which requests are noted.

A process within listens and speaks to a Unix socket, which lies in the file system and not in a network; a thread of
the test answers there and asks the server. The bytes are passed on as they are, so that signatures of the host hold.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.network import Network

_LINE = re.compile(rb"(?:GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.[01]\r\n")
_PIECE = 256 << 10


class Passage:
    """What went through: `requests` are lines such as `GET /bucket/key`."""

    def __init__(self) -> None:
        self.address = ""  #: where clients within find the server
        self.requests: list[str] = []

    def note(self, piece: bytes) -> None:
        """Note a request, if one begins here."""
        found = _LINE.match(piece)
        if found:
            self.requests.append(f"{piece.split(b' ', 1)[0].decode()} {found[1].decode()}")


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passage: Passage | None) -> None:
    try:
        while piece := await reader.read(_PIECE):
            if passage is not None:
                passage.note(piece)
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        with suppress(Exception):
            writer.close()


@contextmanager
def passage(network: Network, port: int, address: str) -> Iterator[Passage]:
    """Let clients in `network` reach a port of the loopback outside, at an address within."""
    made = Passage()
    folder = tempfile.mkdtemp(prefix="entrepot-passage-")  # not pytest's: the path of a socket has room for 107 bytes
    path = Path(folder) / "passage.sock"
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_relay(reader, back, made), _relay(there, writer, None))

    async def serve() -> None:
        server = await asyncio.start_unix_server(answer, path)
        ready.set()
        with suppress(asyncio.CancelledError):
            await server.serve_forever()

    def run() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    command = [*network.prefix, sys.executable, "-m", "tests.support.passage", address, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    made.address = process.stdout.readline().strip()
    assert made.address, "nobody listens in the network"
    try:
        yield made
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        loop.call_soon_threadsafe(_stop, loop)
        thread.join(10)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _within(address: str, path: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(_relay(reader, back, None), _relay(there, writer, None))

    server = await asyncio.start_server(answer, address, 0)
    port = server.sockets[0].getsockname()[1]
    print(f"{address}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_within(*sys.argv[1:]))
