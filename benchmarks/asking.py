"""A client that costs hardly anything, so that a server is measured and not its client.

Others need as much of the processors as the servers they ask, or more: hey for a HEAD request, wrk for copying what it
throws away. This one looks at the head of an answer and lets the kernel drop the body (`MSG_TRUNC`, tcp(7)). It runs in
a process of its own, `python -m benchmarks.asking`, with a `Wanted` as JSON on standard input.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from benchmarks.client import Load
from benchmarks.processes import Server

_HEAD = 4096
_DROPPED = 1 << 20
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to ask for, over how many connections."""

    host: str
    port: int
    requests: list[str]  #: whole request heads, shared among the connections
    status: int
    connections: int
    seconds: float = 0.0  #: again and again for so long; 0 for each request once
    at_most: int = 0  #: bytes of a body after which its connection is cut; 0 for all


def heads(server: Server, path: str, *, connections: int, seconds: int) -> Load:
    """Send HEAD requests for one path."""
    return _in_own_process(_wanted(server, "HEAD", path, [""], status=200, connections=connections, seconds=seconds))


def bodies(server: Server, path: str, *, connections: int, seconds: int) -> Load:
    """GET one path, each connection one body after the other."""
    return _in_own_process(_wanted(server, "GET", path, [""], status=200, connections=connections, seconds=seconds))


def cut_ranges(server: Server, path: str, starts: Sequence[int], *, connections: int, at_most: int) -> Load:
    """GET open-ended ranges, one for each start, and cut each connection after `at_most` bytes."""
    lines = [f"Range: bytes={start}-\r\n" for start in starts]
    return _in_own_process(
        _wanted(server, "GET", path, lines, status=206, connections=connections, seconds=0, at_most=at_most)
    )


def _wanted(server: Server, method: str, path: str, lines: Sequence[str], **how: int) -> Wanted:
    url = urlsplit(server.url)
    common = [f"{method} {path} HTTP/1.1", f"Host: {url.netloc}", *(f"{k}: {v}" for k, v in server.headers.items())]
    requests = ["\r\n".join([*common, ""]) + line + "\r\n" for line in lines]
    return Wanted(host=url.hostname or "", port=url.port or 0, requests=requests, **how)


def _in_own_process(wanted: Wanted) -> Load:
    command = [sys.executable, "-m", "benchmarks.asking"]
    done = subprocess.run(command, input=json.dumps(asdict(wanted)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    return Load(**json.loads(done.stdout))


def _ask(wanted: Wanted) -> Load:
    begun = time.perf_counter()
    if wanted.requests[0].startswith("HEAD "):
        times, size = _ask_for_heads(wanted), 0
    else:
        times, size = _ask_for_bodies(wanted)
    seconds = time.perf_counter() - begun
    slowest = sorted(times)[int(len(times) * 0.99)] * 1000
    rate = len(times) / seconds
    return Load(
        requests=len(times),
        seconds=seconds,
        rate=rate,
        bytes_per_second=size / seconds,
        p99_ms=slowest,
        errors=0,
    )


def _ask_for_heads(wanted: Wanted) -> list[float]:
    """One thread for all connections, since an answer is one small piece; returns how long each took."""
    request, expected = wanted.requests[0].encode(), f"HTTP/1.1 {wanted.status} ".encode()
    poll, opened, sent, times = select.epoll(), {}, {}, []
    clock = time.perf_counter
    for _ in range(wanted.connections):
        connection = socket.create_connection((wanted.host, wanted.port), _PATIENCE_SECONDS)
        poll.register(connection, select.EPOLLIN)
        connection.send(request)
        opened[connection.fileno()], sent[connection.fileno()] = connection, clock()
    end = clock() + wanted.seconds
    while clock() < end:
        for number, _ in poll.poll(_PATIENCE_SECONDS):
            answer = opened[number].recv(_HEAD)
            if not (answer.startswith(expected) and answer.endswith(b"\r\n\r\n")):
                raise RuntimeError(f"not one whole answer: {answer!r}")
            now = clock()
            times.append(now - sent[number])
            opened[number].send(request)
            sent[number] = now
    return times


def _ask_for_bodies(wanted: Wanted) -> tuple[list[float], int]:
    """One thread for each connection, which is in the kernel nearly all the time; returns times and bytes."""
    readers = [_Reader(wanted, number) for number in range(wanted.connections)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for reader in readers:
        if reader.failure is not None:
            raise reader.failure
    return [one for reader in readers for one in reader.times], sum(reader.size for reader in readers)


class _Reader(threading.Thread):
    """One connection after the other, as far as the server closes them."""

    def __init__(self, wanted: Wanted, number: int) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self.size = 0
        self.failure: Exception | None = None
        self._wanted = wanted
        self._number = number
        self._connection: socket.socket | None = None
        self._untouched = bytearray(_DROPPED)

    def run(self) -> None:
        """Ask until all is asked."""
        try:
            for request in self._requests():
                begun = time.perf_counter()
                self._ask(request)
                self.times.append(time.perf_counter() - begun)
        except (OSError, RuntimeError, ValueError) as error:
            self.failure = error

    def _requests(self) -> Iterator[bytes]:
        wanted = self._wanted
        mine = [one.encode() for one in wanted.requests[self._number :: wanted.connections] or wanted.requests]
        end = time.perf_counter() + wanted.seconds
        again = itertools.takewhile(lambda _: time.perf_counter() < end, itertools.cycle(mine))
        return again if wanted.seconds else iter(mine)

    def _ask(self, request: bytes) -> None:
        connection = self._connection or socket.create_connection(
            (self._wanted.host, self._wanted.port), _PATIENCE_SECONDS
        )
        connection.sendall(request)
        head, begun = self._head(connection)
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        wanted = min(length, self._wanted.at_most or length)
        self._drop(connection, wanted - begun)
        self.size += wanted
        if wanted < length or b"connection: close" in head:
            connection.close()
            self._connection = None
        else:
            self._connection = connection

    def _head(self, connection: socket.socket) -> tuple[bytes, int]:
        """Read the head of the answer in small letters, and say how many bytes of the body came with it."""
        head, end, body = b"", b"", b""
        while not end:
            head += connection.recv(_HEAD)
            head, end, body = head.partition(b"\r\n\r\n")
        if not head.startswith(f"HTTP/1.1 {self._wanted.status} ".encode()):
            raise RuntimeError(f"this was answered: {head[:200]!r}")
        return head.lower() + b"\r\n", len(body)

    def _drop(self, connection: socket.socket, count: int) -> None:
        while count > 0:
            dropped = connection.recv_into(self._untouched, min(count, _DROPPED), socket.MSG_TRUNC)
            if not dropped:
                raise RuntimeError(f"{count} bytes are missing")
            count -= dropped


if __name__ == "__main__":
    print(json.dumps(asdict(_ask(Wanted(**json.load(sys.stdin))))))
