"""A part of a file on its way into a client's connection.

All of it blocks, on the disk and a little on the client, except what is in memory and written without patience.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from entrepot.serving.page_cache import PageCache

#: What one turn writes at most, so that a client with a fast line leaves room for the others.
_TURN_BYTES: Final = 16 << 20
#: How long a turn waits for a client. To wait in the event loop costs two trips between threads, and whoever reads fast
#: is back sooner than that.
PATIENCE_SECONDS: Final = 0.005
#: So much of a part is written in the event loop where it is in memory: who asks for the rest of a large file has often
#: enough after that, and a trip to a thread costs more than to write it.
_BEGINNING_BYTES: Final = 4 << 20
_BEGINNING_TURN_BYTES: Final = 1 << 20
#: What a connection holds of that beginning beside what is on its way: more is written for nothing if the client ends.
_HELD_BYTES: Final = 512 << 10
_NO_LIMIT: Final = 0
_COPY_BYTES: Final = 128 << 10

Write = Callable[[socket.socket, int, int, int], int]

_own = threading.local()


class FilePart:
    """What is still to be written of an answer: the rest of its head, and the rest of the part."""

    def __init__(self, head: bytes, file: int, offset: int, count: int) -> None:
        """Begin with nothing written."""
        self._head = memoryview(head)
        self._file = file
        self._start = self._offset = offset
        self._end = offset + count
        self._held = _NO_LIMIT
        self.patient = True  #: whether the client reads so fast that a turn waits for it

    def push(self, connection: socket.socket, *, by_copy: bool) -> bool:
        """Write until the client does not follow, or it is the others' turn; say whether that was all.

        Raises:
            OSError: The client has gone, the file cannot be read, or it is shorter than the part.
        """
        turn = min(self._end, self._offset + _TURN_BYTES)
        self._limit(connection, _NO_LIMIT)
        return self._write(connection, turn, _copy if by_copy else _refer, patient=self.patient)

    def push_beginning(self, connection: socket.socket, memory: PageCache) -> bool | None:
        """Write what the client takes at once of the beginning; say whether that was all.

        None when nothing is to be written so: beyond the beginning, or where it is not in memory.

        Raises:
            OSError: As above.
        """
        turn = min(self._end, self._start + _BEGINNING_BYTES, self._offset + _BEGINNING_TURN_BYTES)
        if self._offset >= turn or not memory.holds(self._file, self._offset, turn - self._offset):
            return None
        self._limit(connection, _HELD_BYTES)
        return self._write(connection, turn, _refer, patient=False)

    def _limit(self, connection: socket.socket, held: int) -> None:
        if held != self._held:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, held)
            self._held = held

    def _write(self, connection: socket.socket, until: int, write: Write, *, patient: bool) -> bool:
        while self._offset < until:
            try:
                self._write_head(connection)
                self._offset += _some(write(connection, self._file, self._offset, until - self._offset))
            except BlockingIOError:
                if not (patient and _takes_more(connection)):
                    break
        return self._offset == self._end

    def _write_head(self, connection: socket.socket) -> None:
        while self._head:
            # The first bytes of the file are to share a packet with it.
            self._head = self._head[connection.send(self._head, socket.MSG_MORE) :]


def _refer(connection: socket.socket, file: int, offset: int, count: int) -> int:
    """Let the connection send the kernel's own pages of the file."""
    return os.sendfile(connection.fileno(), file, offset, count)


def _copy(connection: socket.socket, file: int, offset: int, count: int) -> int:
    """Copy bytes into the connection, by a buffer that stays in the processor's cache."""
    if not hasattr(_own, "buffer"):
        _own.buffer = memoryview(bytearray(_COPY_BYTES))
    got = os.preadv(file, [_own.buffer[:count]], offset)
    return connection.send(_own.buffer[:got])


def _some(count: int) -> int:
    if count == 0:
        raise OSError(errno.EIO, "the file ends before the part to be sent")
    return count


def _takes_more(connection: socket.socket) -> bool:
    waiting = select.poll()
    waiting.register(connection, select.POLLOUT)
    return bool(waiting.poll(PATIENCE_SECONDS * 1000))
