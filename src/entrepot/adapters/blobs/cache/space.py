"""The folder of the cache: names, and how it stays below its size.

::

    FOLDER/.space                       bytes in use, beside the lock of all processes
    FOLDER/ab/sha256-ab….               a whole blob; its time is when it was last used
    FOLDER/ab/sha256-ab….SIZE.part      one that is being fetched by whoever holds its lock
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from entrepot.oci.digest import Digest

#: Room is made for more than is asked for: so much of the whole is free afterwards.
_FREE_AFTER: Final = 0.1
#: Seconds for which a file that was used stays: somebody may be about to open it.
_IN_USE: Final = 120.0
_PART: Final = ".part"


@dataclass(frozen=True, slots=True)
class _Kept:
    used_at: float
    size: int
    path: Path


class Space:
    """The folder, by one process; others have it open, too."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Make the folder, for this user alone."""
        self._folder = folder
        self.limit = limit
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def whole(self, digest: Digest) -> str:
        """Say where a blob is, if it is."""
        return f"{self._folder}/{digest.encoded[:2]}/{digest.algorithm}-{digest.encoded}"

    def part(self, digest: Digest, size: int) -> str:
        """Say where a blob is while it is fetched."""
        return f"{self.whole(digest)}.{size}{_PART}"

    def reserve(self, size: int, part: str) -> bool:
        """Take room for a blob, of what was not used for longest if need be; False when there is none."""
        with self._used(part) as used:
            if used.value + size > self.limit:
                used.value = self._make_room(size, part)
            if used.value + size > self.limit:
                return False
            used.value += size
            return True

    def give_back(self, size: int) -> None:
        """Take back a reservation of which nothing came."""
        with self._used() as used:
            used.value = max(0, used.value - size)

    def bytes_used(self) -> int:
        """Say how many bytes are in use, those on their way included."""
        with self._used() as used:
            return used.value

    def _make_room(self, size: int, part: str) -> int:
        """Remove what was not used for longest; return what is in use then, counted anew and without `part`."""
        kept, on_their_way = self._look(part)
        used = on_their_way + sum(each.size for each in kept)
        wanted = self.limit * (1 - _FREE_AFTER) - size
        now = time.time()
        for each in sorted(kept, key=lambda each: each.used_at):
            if used <= wanted or each.used_at > now - _IN_USE:
                break
            with suppress(OSError):
                each.path.unlink()
                used -= each.size
        return used

    def _look(self, part: str = "") -> tuple[list[_Kept], int]:
        """List whole blobs, and the bytes that those which are being fetched will have; remove what nobody fetches."""
        kept: list[_Kept] = []
        on_their_way = 0
        for folder in self._folder.iterdir():
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                with suppress(OSError):
                    found = path.stat()
                    if str(path) == part:
                        continue
                    if path.suffix != _PART:
                        kept.append(_Kept(found.st_mtime, found.st_size, path))
                    elif is_locked(path):
                        on_their_way += int(path.name.rsplit(".", 2)[1])
                    else:
                        path.unlink()
        return kept, on_their_way

    @contextmanager
    def _used(self, part: str = "") -> Iterator[_Counter]:
        descriptor = os.open(self._folder / ".space", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            written = os.pread(descriptor, 32, 0)
            counter = _Counter(int(written) if written.isdigit() else self._count(part))
            yield counter
            text = b"%d" % counter.value
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)

    def _count(self, part: str) -> int:
        kept, on_their_way = self._look(part)
        return on_their_way + sum(each.size for each in kept)


@dataclass(slots=True)
class _Counter:
    value: int


def is_locked(path: Path | str) -> bool:
    """Tell whether some process holds the lock of a file, as whoever fetches a blob does.

    Raises:
        OSError: The file is not there.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
