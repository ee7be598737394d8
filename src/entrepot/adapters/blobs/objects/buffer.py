"""Bytes that wait to be sent, in pages of their own: what is done with goes back to the system at once.

Blocks of megabytes from the common heap leave it in holes, and the process as large as it ever was.
"""

from __future__ import annotations

import mmap
from typing import Final

_LEAST: Final = 1 << 18


class Buffer:
    """Bytes that grow at their end."""

    __slots__ = ("_pages", "_size")

    def __init__(self) -> None:
        """Begin without a page."""
        self._pages: mmap.mmap | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, data: bytes | memoryview) -> None:
        """Take in bytes."""
        end = self._size + len(data)
        if self._pages is None:
            self._pages = mmap.mmap(-1, max(_LEAST, end), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        elif end > len(self._pages):
            self._pages.resize(max(end, 2 * len(self._pages)))
        self._pages[self._size : end] = data
        self._size = end

    def view(self) -> memoryview:
        """Give the bytes, which no more may be added to as long as somebody has them."""
        return memoryview(b"") if self._pages is None else memoryview(self._pages)[: self._size]

    def cut(self, size: int) -> Buffer:
        """Take away all bytes behind the first so many, and give them."""
        rest = Buffer()
        if size < self._size:
            assert self._pages is not None
            rest.add(self._pages[size : self._size])
            self._size = size
        return rest
