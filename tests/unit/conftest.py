"""Unit tests reach no network: an audit hook refuses it while one of them runs."""

import socket
import sys
from collections.abc import Iterator

import pytest

_EVENTS = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"})
_guard = {"active": False}


class NetworkInUnitTest(RuntimeError):
    """A unit test reached for the network; use a real in-memory part, or move it to tests/http or acceptance."""


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if not _guard["active"] or event not in _EVENTS:
        return
    first = arguments[0]
    if isinstance(first, socket.socket) and first.family == socket.AF_UNIX:
        return
    raise NetworkInUnitTest(f"{event} {arguments[1:]}")


sys.addaudithook(_refuse_network)


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every network socket for the length of one test."""
    _guard["active"] = True
    yield
    _guard["active"] = False
