"""Reading a blob piece by piece."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

from entrepot.adapters.blobs.errors import translated
from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.piece_size import piece_size
from entrepot.adapters.blobs.threads import Threads
from entrepot.oci.errors import BlobUnknown, Unavailable


class Streams:
    """All streams that this process has open; the more there are, the smaller their pieces."""

    def __init__(self, fs: Fs, threads: Threads) -> None:
        """Begin with none."""
        self._fs = fs
        self._threads = threads
        self._open = 0

    async def read(self, path: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Give `length` bytes of a file from `start`."""
        reader = _Reader(self._fs, path, start, length)
        self._open += 1
        try:
            # A short range is one trip to a thread: opened and read at once.
            piece = await self._threads.call(reader.open_and_read, piece_size(self._open))
            while piece:
                yield piece
                piece = await self._threads.call(reader.read, piece_size(self._open))
        finally:
            self._open -= 1
            reader.close()


class _Reader:
    """One open blob and how much of it is still wanted."""

    def __init__(self, fs: Fs, path: str, start: int, length: int | None) -> None:
        self._fs = fs
        self._path = path
        self._offset = start
        self._left = length
        self._file: int | None = None

    @translated(BlobUnknown)
    def open_and_read(self, length: int) -> bytes:
        self._file = self._fs.open(self._path, os.O_RDONLY)
        if self._left is None:
            self._left = max(self._fs.stat_file(self._file).st_size - self._offset, 0)
        return self.read(length)

    @translated(BlobUnknown)
    def read(self, length: int) -> bytes:
        """Read the next piece, empty after the last; a file that ends too early is an error, not an end."""
        assert self._file is not None
        assert self._left is not None
        if not self._left:
            return b""
        piece = self._fs.read(self._file, min(length, self._left), self._offset)
        if not piece:
            raise Unavailable(message="the stored blob is shorter than it should be")
        self._offset += len(piece)
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        if self._file is not None:
            self._fs.close(self._file)
