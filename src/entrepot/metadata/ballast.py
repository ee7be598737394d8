"""A file whose only use is to be removed when the disk is full.

Even a DELETE needs space in the write-ahead log. On a full disk nothing could be deleted, unless some space was
put aside before.
"""

import logging
import os
import time
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
#: More than the database's log may have to be folded into the database file.
BALLAST_BYTES: Final = 32 * MIB
#: On a small disk the ballast is this part of it, and below a mebibyte there is none.
_SHARE: Final = 4
#: Below this part of the disk, or this many bytes on a large one, free space is low.
_LOW: Final = 0.01
_LOW_BYTES: Final = BALLAST_BYTES
#: How often the disk is asked.
_SECONDS: Final = 1.0


class Ballast:
    """The file `ballast` of one folder. Several processes and threads may look after it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ballast"
        self._next_look = 0.0

    def tend(self) -> None:
        """Look at the free space, at most once a second: remove the ballast when it is low, else make sure of it."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _SECONDS
        space = os.statvfs(self.path.parent)
        free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
        if free < min(total * _LOW, _LOW_BYTES):
            self.release()
        elif not self.path.exists():
            self._put_aside(free, total)

    def release(self) -> bool:
        """Remove the ballast; tell whether there was any."""
        try:
            size = self.path.stat().st_size
            self.path.unlink()
        except FileNotFoundError:
            return False
        _log.error("the disk of %s is full: %d MiB of ballast released, free some space", self.path.parent, size // MIB)
        return True

    def lacking(self, total: int) -> int:
        """Say how many bytes of a disk are to be put aside as soon as there is room, so that they count as taken."""
        size = min(BALLAST_BYTES, total // _SHARE)
        return 0 if size < MIB or self.path.exists() else size

    def _put_aside(self, free: int, total: int) -> None:
        size = min(BALLAST_BYTES, total // _SHARE)
        # As much must stay free beside it: what was released on a full disk is not taken back at once.
        if size < MIB or free < 2 * size:
            return
        partial = self.path.with_name(f"ballast.{os.getpid()}")
        try:
            _allocate(partial, size)
            partial.rename(self.path)
        except OSError as error:
            _log.warning("no ballast in %s: %s", self.path.parent, error)
            partial.unlink(missing_ok=True)


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
