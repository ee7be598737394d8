"""The socket of a client's connection, which the server keeps to itself.

It is found among the open files by the addresses of its two ends, which no other connection has, and used through a
descriptor of our own, so that it stays this connection's whatever the server does with its one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import termios
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

#: With more files open, looking for one of them takes longer than what is to be gained.
_MOST_FILES: Final = 2000
#: Descriptors where connections were found lately; new connections get the lowest that are free, so often the same.
_REMEMBERED: Final = 64
_UNREAD_BYTES: Final = 1 << 16
_ADDRESS_BYTES: Final = 28  # of an IPv6 address, the longest


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a connection: host and port, as the server writes them."""

    here: tuple[str, int]
    there: tuple[str, int]

    @classmethod
    def of_scope(cls, scope: Any) -> Ends:
        """Read what the server says of a request's connection."""
        (here, here_port), (there, there_port) = scope["server"], scope["client"]
        return cls((here, int(here_port)), (there, int(there_port)))

    @property
    def local(self) -> bool:
        """Whether the client runs on this machine."""
        return self.here[0] == self.there[0]


class Connections:
    """Finds the connections of this process; for one thread."""

    def __init__(self) -> None:
        """Know none yet."""
        # It keeps the interpreter's lock: there is nothing to wait for, and giving it up for each of the open files
        # costs ten times as much as asking.
        self._getpeername = ctypes.PyDLL(None).getpeername
        self._address = ctypes.create_string_buffer(_ADDRESS_BYTES)
        self._length = ctypes.c_uint32()
        self._lately: deque[int] = deque(maxlen=_REMEMBERED)

    def find(self, ends: Ends) -> socket.socket | None:
        """Give another descriptor of the connection with these ends; None when there is none to be had."""
        wanted = _packed(ends.there)
        for descriptor in self._lately:
            if self._leads_to(descriptor, wanted):
                return self._taken(descriptor, ends)
        names = os.listdir("/proc/self/fd")  # noqa: PTH208 - on the way of every large blob
        if len(names) > _MOST_FILES:
            return None
        for descriptor in map(int, names):
            if self._leads_to(descriptor, wanted):
                self._lately.append(descriptor)
                return self._taken(descriptor, ends)
        return None

    def _leads_to(self, descriptor: int, wanted: bytes) -> bool:
        """Compare the other end of what may be a connection. Whatever else it is: it is looked at, not touched."""
        self._length.value = _ADDRESS_BYTES
        failed = self._getpeername(descriptor, self._address, ctypes.byref(self._length))
        return not failed and self._address.raw[: len(wanted)] == wanted

    def _taken(self, descriptor: int, ends: Ends) -> socket.socket | None:
        duplicate = os.dup(descriptor)
        if not self._leads_to(duplicate, _packed(ends.there)):
            # The connection ended this very moment, and the number means another file now, perhaps a database's: to
            # close the duplicate of one gives up its locks. It stays open; that costs a descriptor once in a lifetime.
            return None
        connection = socket.socket(fileno=duplicate)
        with suppress(OSError):
            if connection.getsockname()[:2] == ends.here:
                return connection
        connection.close()
        return None


def _packed(end: tuple[str, int]) -> bytes:
    """Write an end as the kernel does, as far as it has a meaning: family, port and host, without an IPv6 scope."""
    host, port = end
    if ":" in host:
        return struct.pack(
            "=H2sI16s", socket.AF_INET6, struct.pack("!H", port), 0, socket.inet_pton(socket.AF_INET6, host)
        )
    return struct.pack("=H2s4s", socket.AF_INET, struct.pack("!H", port), socket.inet_aton(host))


def is_idle(connection: socket.socket) -> bool:
    """Tell whether nothing is under way: all that was written has arrived, and all that has arrived was read."""
    return not _count(connection, termios.TIOCOUTQ) and not _count(connection, termios.FIONREAD)


def _count(connection: socket.socket, queue: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), queue, b"\0\0\0\0"))
    return int(count)


def end(connection: socket.socket) -> None:
    """Let the client know that no more will come, and keep the server from writing to it; close our descriptor."""
    with suppress(OSError):  # it was ended already
        connection.shutdown(socket.SHUT_WR)
        # Unread bytes would make the kernel break the connection, and the end of the answer might be lost on its way.
        connection.recv(_UNREAD_BYTES, socket.MSG_DONTWAIT)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    connection.close()
