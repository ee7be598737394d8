"""Whether parts of files are in memory, so that to send them does not wait for a disk."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Final

#: The number of `cachestat` (Linux 6.5) on the machines that we know; older systems have no such call.
_CACHESTAT: Final = 451
#: Pages that are still on their way from the disk are counted, too. They come in longer stretches than this, so that a
#: byte of each step tells.
_STEP_BYTES: Final = 64 << 10


class _Range(ctypes.Structure):
    """`struct cachestat_range`, in bytes."""

    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Statistics(ctypes.Structure):
    """`struct cachestat`, in pages."""

    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


class PageCache:
    """Asks the kernel which pages it has; for one thread."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        # It keeps the interpreter's lock: the answer comes sooner than the lock would come back.
        self._call = ctypes.PyDLL(None).syscall
        self._range = _Range()
        self._found = _Statistics()
        self._byte = bytearray(1)

    def holds(self, file: int, offset: int, count: int) -> bool:
        """Tell whether a part of an open file is all in memory; False where the system does not say."""
        return self._has_pages(file, offset, count) and self._has_read(file, offset, count)

    def _has_pages(self, file: int, offset: int, count: int) -> bool:
        self._range.offset, self._range.length = offset, count
        asked = self._call(_CACHESTAT, file, ctypes.byref(self._range), ctypes.byref(self._found), 0)
        pages = (offset + count - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
        return asked == 0 and bool(self._found.cached >= pages)

    def _has_read(self, file: int, offset: int, count: int) -> bool:
        last = offset + count - 1
        try:
            return all(
                os.preadv(file, [self._byte], place, os.RWF_NOWAIT)
                for place in (*range(offset, last, _STEP_BYTES), last)
            )
        except OSError:  # it would have to wait, or cannot say
            return False
