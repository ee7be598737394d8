"""The file of an open upload, under the lock that keeps a second writer out.

All of it blocks and belongs into a thread; one object serves one request.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from entrepot.adapters.blobs.direct import DirectWrites
from entrepot.adapters.blobs.errors import is_full, translated
from entrepot.adapters.blobs.fs import Fs
from entrepot.oci.errors import BlobUploadUnknown, UploadRangeInvalid

#: An upload file with this mode bit holds bytes from before the machine last started. A power cut may have changed
#: them, so what was noted of them then counts no more: only reading tells what they are. `boot.py` sets it.
OLDER_BOOT = stat.S_ISVTX

#: After so many bytes the kernel is asked to begin writing, which leaves little for the sync at the end. Most layers
#: are larger than this, but not by much.
_WRITE_BEHIND = 4 << 20

#: Tells whether so many bytes more may be written.
HasRoom = Callable[[int], bool]


def always(_size: int) -> bool:
    """Let everything be written that fits."""
    return True


class Identity(NamedTuple):
    """What changes when a file is replaced or written to."""

    inode: int
    size: int
    mtime_ns: int


class UploadFile:
    """An upload opened for one request: nobody else appends to it, seals it or publishes it meanwhile."""

    def __init__(self, fs: Fs, path: str, has_room: HasRoom = always) -> None:
        """Touch nothing yet."""
        self.path = path
        self.size = 0
        self.of_older_boot = False
        self._fs = fs
        self._has_room = has_room
        self._file: int | None = None
        self._direct: DirectWrites | None = None
        self._handed_over = 0

    @translated(BlobUploadUnknown)
    def open(self) -> None:
        """Open and lock the file.

        Raises:
            BlobUploadUnknown: It is not there, or was published or cancelled while we came.
            UploadRangeInvalid: Another request is at work on it.
        """
        self._file = self._fs.open(self.path, os.O_RDWR)
        self._direct = DirectWrites(self._fs, self._file)
        locked = self._fs.lock(self._file)
        status = self._fs.stat_file(self._file)
        self.size = self._handed_over = status.st_size
        self.of_older_boot = bool(status.st_mode & OLDER_BOOT)
        if not locked:
            raise UploadRangeInvalid(self.size, "another request is writing to this upload; ask for its status")
        if self._fs.stat(self.path).st_ino != status.st_ino:
            raise BlobUploadUnknown

    def close(self) -> None:
        """Close the file, which unlocks it. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            self._close(file)

    def passes_cache(self, length: int) -> bool:
        """Tell whether the next so many bytes are meant to go straight to the disk."""
        return self._direct is not None and self._direct.fits(self.size, length)

    @translated(BlobUploadUnknown)
    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Add bytes at the end; drop the upload when the device is full, which frees its space.

        Raises:
            BlobUploadUnknown: The upload was cancelled meanwhile.
        """
        length = sum(map(len, parts))
        try:
            self._require_room(length)
            self._add(parts, length)
        except OSError as error:
            if is_full(error):
                self.drop()
            raise
        if self._fs.stat_file(self._open_file).st_nlink == 0:
            raise BlobUploadUnknown

    @translated(BlobUploadUnknown)
    def read(self, offset: int, length: int) -> bytes:
        """Read bytes back."""
        return self._fs.read(self._open_file, length, offset)

    @translated(BlobUploadUnknown)
    def sync(self) -> None:
        """Make the bytes durable; drop the upload when that fails, since nobody knows which of them are left."""
        try:
            self._fs.sync(self._open_file)
        except OSError:
            self.drop()
            raise

    @translated(BlobUploadUnknown)
    def identity(self) -> Identity:
        """Say what the file is now, to notice a change later."""
        status = self._fs.stat_file(self._open_file)
        return Identity(status.st_ino, status.st_size, status.st_mtime_ns)

    @translated(BlobUploadUnknown)
    def clear_mark(self) -> None:
        """Give a file of an older boot, read again meanwhile, the mode that blobs have."""
        if self.of_older_boot:
            self._fs.set_mode(self.path, self._fs.stat_file(self._open_file).st_mode & 0o777)

    def drop(self) -> None:
        """Remove the file; its space is free once it is closed."""
        with suppress(OSError):
            self._fs.unlink(self.path)

    @property
    def _open_file(self) -> int:
        assert self._file is not None, "open() comes first"
        return self._file

    @translated(BlobUploadUnknown)
    def _close(self, file: int) -> None:
        self._fs.close(file)

    def _require_room(self, length: int) -> None:
        if not self._has_room(length):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    def _add(self, parts: Sequence[bytes | memoryview], length: int) -> None:
        assert self._direct is not None, "open() comes first"
        if self._direct.write(parts, self.size, length):
            self.size = self._handed_over = self.size + length
            return
        self._fs.write(self._open_file, parts, self.size)
        self.size += length
        self._write_behind()

    def _write_behind(self) -> None:
        if self.size - self._handed_over >= _WRITE_BEHIND:
            self._fs.start_sync(self._open_file, self._handed_over, self.size - self._handed_over)
            self._handed_over = self.size
