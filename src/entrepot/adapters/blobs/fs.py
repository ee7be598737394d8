"""Every effect the blob store has on a disk, as one small class.

Tests put a recording or failing one in its place: so they know in which order bytes, names and syncs went to the disk
(tests/faults/test_crash_states.py), and what happens when any single call fails. Calls raise plain `OSError`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable, Sequence

#: `sync_file_range` flag: start writing dirty pages out, wait for nothing.
_SYNC_FILE_RANGE_WRITE = 2


class Fs:
    """The system calls of the blob store, each of which may block: call them from a thread unless said otherwise."""

    def __init__(self) -> None:
        """Look up what only Linux has."""
        self._sync_file_range = _find_sync_file_range()

    # Names.

    def make_folder(self, path: str, mode: int = 0o777) -> None:
        """Make one folder; raises FileExistsError when it is there."""
        os.mkdir(path, mode)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in one step, replacing what has that name."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        os.unlink(path)

    def set_mode(self, path: str, mode: int) -> None:
        """Set a file's permission bits."""
        os.chmod(path, mode)

    def names(self, folder: str) -> list[str]:
        """List what a folder contains."""
        return os.listdir(folder)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        folder = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(folder)
        finally:
            self.close(folder)

    # Files.

    def open(self, path: str, flags: int) -> int:
        """Open a file; one that it creates is readable and writable as far as the umask allows."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def close(self, file: int) -> None:
        """Close a file, which gives up its lock too."""
        os.close(file)

    def lock(self, file: int) -> bool:
        """Take the file's exclusive lock unless somebody has it; a dead process has none."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write all parts, at most some hundred, one after the other from an offset on."""
        while parts:
            written = os.pwritev(file, parts, offset)
            offset += written
            # Rarely less than all: the disk is nearly full, or a signal came.
            rest = b"" if written == sum(map(len, parts)) else b"".join(parts)[written:]
            parts = [rest] if rest else []

    def start_direct(self, file: int) -> bool:
        """Let writes pass the page cache, from and to whole blocks; False where the file system cannot do that."""
        try:
            fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_DIRECT)
        except OSError:
            return False
        return True

    def end_direct(self, file: int) -> None:
        """Let writes go through the page cache again."""
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_DIRECT)

    def read(self, file: int, length: int, offset: int) -> bytes:
        """Read up to `length` bytes; fewer only at the end of the file or at a signal."""
        return os.pread(file, length, offset)

    def sync(self, file: int) -> None:
        """Make a file's bytes and size durable. After a failure the bytes may be gone: never call it again then."""
        os.fsync(file)

    def start_sync(self, file: int, offset: int, length: int) -> None:
        """Ask the kernel to begin writing these bytes out, so that the `sync` to come is short.

        Only a hint: a write error stays with the file until `sync` reports it.
        """
        if self._sync_file_range is not None:
            self._sync_file_range(file, offset, length, _SYNC_FILE_RANGE_WRITE)

    # Facts.

    def stat(self, path: str) -> os.stat_result:
        """Describe what has this name; one call short enough for the event loop."""
        return os.stat(path)

    def stat_file(self, file: int) -> os.stat_result:
        """Describe an open file."""
        return os.fstat(file)


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], int] = function
    return found
