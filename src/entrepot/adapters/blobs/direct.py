"""Writing past the page cache: what a large upload has beyond its beginning goes to the disk as it comes.

Through the page cache each byte is copied into memory that the kernel must find first, pushes out what others pull, and
is written at a time of the kernel's choosing, for which the sync at the end waits: that costs several times what the
disk does. But what is there need not be read for the first pull, so most layers go there whole.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Sequence

from entrepot.adapters.blobs.fs import Fs

#: What offsets, lengths and memory are multiples of: devices ask for 512 or 4096.
BLOCK = 4096
#: So much of a file goes through the page cache, as long as nearly all layers are.
CACHED = 64 * 1024 * 1024
#: Smaller batches are better gathered by the kernel: there are many uploads at once, or a slow one.
LEAST = 512 * 1024


def cut_at_block(parts: list[bytes | memoryview], end: int) -> list[bytes | memoryview]:
    """Take from the end of these parts, which would end at offset `end` of a file, what is beyond its last whole block.

    Returns:
        What was taken: nothing when the last part is smaller than that.
    """
    beyond = end % BLOCK
    if not beyond or len(parts[-1]) <= beyond:
        return []
    last = memoryview(parts[-1])
    parts[-1] = last[:-beyond]
    return [last[-beyond:]]


class DirectWrites:
    """The direct writes of one file, as long as its file system can do them. All of it blocks."""

    def __init__(self, fs: Fs, file: int) -> None:
        """Touch nothing yet."""
        self._fs = fs
        self._file = file
        self._able = True
        self._on = False
        self._buffer: mmap.mmap | None = None

    def fits(self, offset: int, length: int) -> bool:
        """Tell whether so many bytes at this offset can be written directly, as far as is known."""
        long_enough = length >= LEAST and offset >= CACHED
        return self._able and long_enough and offset % BLOCK == 0 and length % BLOCK == 0

    def write(self, parts: Sequence[bytes | memoryview], offset: int, length: int) -> bool:
        """Write all parts, `length` bytes together; False if they have to go through the page cache, perhaps again."""
        if not (self.fits(offset, length) and self._start()):
            self._end()
            return False
        try:
            self._fs.write(self._file, [self._gather(parts, length)], offset)
        except OSError as error:
            # A device with larger blocks, or what a nearly full disk left to be written ends within a block.
            if error.errno != errno.EINVAL:
                raise
            self._able = False
            self._end()
            return False
        return True

    def _start(self) -> bool:
        if self._able and not self._on:
            self._able = self._on = self._fs.start_direct(self._file)
        return self._able

    def _end(self) -> None:
        if self._on:
            self._fs.end_direct(self._file)
        self._on = False

    def _gather(self, parts: Sequence[bytes | memoryview], length: int) -> memoryview:
        """Copy the parts to memory that begins at a page, which devices can read."""
        if self._buffer is None or len(self._buffer) < length:
            self._buffer = mmap.mmap(-1, length)
        target = memoryview(self._buffer)[:length]
        start = 0
        for part in parts:
            target[start : start + len(part)] = part
            start += len(part)
        return target
