"""Whether parts of files are in memory, so that to send them waits for no disk."""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

#: The number of `cachestat` (Linux 6.5) is the same on all machines; older systems know no such call.
_CACHESTAT: Final = 451


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

    def holds(self, file: int, offset: int, count: int) -> bool:
        """Tell whether a part of an open file is all in memory; False where the system does not say."""
        self._range.offset, self._range.length = offset, count
        asked = self._call(_CACHESTAT, file, ctypes.byref(self._range), ctypes.byref(self._found), 0)
        pages = (offset + count - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
        return asked == 0 and bool(self._found.cached >= pages)
