"""New connections go to the server that came last, and to all its sockets once it is alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from entrepot.serving.listener_steering import prefer_newest

WORKERS = 2


class Port:
    """A port on which servers of two sockets listen."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.number = 0

    def serve(self) -> list[socket.socket]:
        """Start a server: two sockets, each with the program."""
        return [self._listen() for _ in range(WORKERS)]

    def _listen(self) -> socket.socket:
        listener = self._stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", self.number))
        listener.listen(1000)
        listener.settimeout(0)
        self.number = listener.getsockname()[1]
        prefer_newest(listener, WORKERS)
        return listener

    def connect(self, times: int) -> None:
        """Make connections, which stay open."""
        for _ in range(times):
            self._stack.enter_context(socket.create_connection(("127.0.0.1", self.number), 5))


def taken(listener: socket.socket) -> int:
    """Accept what waits at a socket; gives the number."""
    number = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            number += 1
    return number


@pytest.fixture
def port() -> Iterator[Port]:
    """A port with nobody on it."""
    with ExitStack() as stack:
        yield Port(stack)


def test_a_server_alone_shares_connections_among_its_workers(port: Port) -> None:
    """Of 200 connections each socket gets its part."""
    server = port.serve()
    port.connect(200)
    counts = [taken(listener) for listener in server]
    assert sum(counts) == 200
    assert min(counts) > 40


def test_a_second_server_takes_all_new_connections_at_once(port: Port) -> None:
    """From its first socket on, the first server gets none, also while its sockets are being closed."""
    first = port.serve()
    second = port.serve()
    port.connect(100)
    assert [taken(listener) for listener in first] == [0, 0]
    assert sum(taken(listener) for listener in second) == 100
    first[0].close()
    port.connect(100)
    assert taken(first[1]) == 0
    assert sum(taken(listener) for listener in second) == 100


def test_the_second_server_alone_shares_again_and_a_third_takes_over(port: Port) -> None:
    """After the change everything is as before it, for the next change too."""
    first = port.serve()
    second = port.serve()
    for listener in first:
        listener.close()
    port.connect(200)
    counts = [taken(listener) for listener in second]
    assert sum(counts) == 200
    assert min(counts) > 40
    third = port.serve()
    port.connect(50)
    assert [taken(listener) for listener in second] == [0, 0]
    assert sum(taken(listener) for listener in third) == 50
