"""Space that is put aside for the day on which the disk is full.

Even a DELETE needs space in the write-ahead log. On a full disk nothing could be deleted, unless some space was put
aside before. Two files hold it:

`ballast`  is removed as soon as the disk is nearly full, for small writes of all kinds: rows of jobs, of sign-ins, link
           files. While it is out no bodies are taken (`has_room`), so that pushes cannot eat what it left.
`reserve`  is removed only when something that frees space (a deletion, the trash, collection) finds no room. From then
           on the last of the space is theirs alone, and that of the rows without which no job begins: other writes are
           refused.

Both come back by themselves, the reserve first, when there is room for them again. Nobody keeps a state: every process
and thread goes by the files and by the free space.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from enum import IntEnum
from pathlib import Path
from typing import Final

from entrepot.metadata.errors import DatabaseFull

_log = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
#: Each of the two; more than a database's log may have to be folded into the database file.
BALLAST_BYTES: Final = 32 * MIB
#: On a small disk each is this part of it, and there is none where that is too little to help.
_SHARE: Final = 8
_LEAST: Final = MIB // 2
#: Below this part of the disk, or this many bytes on a large one, free space is low.
_LOW: Final = 0.01
_LOW_BYTES: Final = BALLAST_BYTES
#: How often it is asked whether space can be put aside again.
_SECONDS: Final = 1.0


class Reserve(IntEnum):
    """What a transaction may do with the reserve."""

    KEPT = 0
    USED = 1  #: once it is out: rows of leases and of runs, without which nothing that frees space begins
    RELEASED = 2  #: it frees space in the end


_use: ContextVar[Reserve] = ContextVar("use of the reserve", default=Reserve.KEPT)


@contextmanager
def with_reserve(use: Reserve) -> Iterator[None]:
    """Give what is written in the block, and by tasks begun there, its use of the reserve."""
    token = _use.set(use)
    try:
        yield
    finally:
        _use.reset(token)


def use_reserve(use: Reserve) -> None:
    """Change the use for the rest of the block that `with_reserve` began: who asks is known only within it."""
    _use.set(use)


def reserve_of(context: Context) -> Reserve:
    """Return the use that what is written in a context makes of the reserve."""
    return context.get(_use, Reserve.KEPT)


class Ballast:
    """What is put aside in one folder. Several processes and threads may look after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self._reserve = folder / "reserve"
        self._next_look = 0.0
        self._told = ""

    def has_room(self, size: int) -> bool:
        """Tell whether a body of `size` bytes may be written: not while the ballast is out, nor until it would be."""
        free, total = self._space()
        if not total:  # the file system does not say, as some of the network do not
            return True
        return free - size >= (_low(total) if self._ballast.exists() else self.lacking(total) + 2 * _low(total))

    def admit(self, use: Reserve) -> bool:
        """Make ready for a transaction, as far as need be; tell whether only those that use the reserve may run now."""
        free, total = self._space()
        tight = _size(total) // 2
        if free < _low(total):
            self.release()
            free, _ = self._space()  # also where another process was quicker
        if use is Reserve.RELEASED and free < tight and not self._ballast.exists():
            self._release(self._reserve)
        self._put_aside_again(free, total)
        return free < tight and not self._reserve.exists() and not self._ballast.exists() and _size(total) > 0

    def release(self) -> bool:
        """Remove the ballast; tell whether there was any."""
        return self._release(self._ballast)

    def release_for(self, use: Reserve) -> None:
        """Remove what may be removed for a transaction that found no space."""
        self.release()
        if use is Reserve.RELEASED:
            self._release(self._reserve)

    def lacking(self, total: int) -> int:
        """Say how many bytes of a disk are to be put aside as soon as there is room, so that they count as taken."""
        size = _size(total)
        return size * ((not self._ballast.exists()) + (not self._reserve.exists()))

    def _space(self) -> tuple[int, int]:
        space = os.statvfs(self._folder)
        return space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize

    def _release(self, path: Path) -> bool:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            if str(error) != self._told:  # every commit tries again
                _log.warning(
                    "the disk of %s is full, and its %s cannot be released: %s", self._folder, path.name, error
                )
            self._told = str(error)
            return False
        _log.error(
            "the disk of %s is full: %.1f MiB of %s released; nothing more is stored until some space is free",
            *(self._folder, size / MIB, path.name),
        )
        return True

    def _put_aside_again(self, free: int, total: int) -> None:
        """Put aside what is missing, the reserve first, at most once a second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _SECONDS
        size = _size(total)
        # As much must stay free beside it that it is not released at once.
        for path, beside in ((self._reserve, size // 2), (self._ballast, 0)):
            if size and not path.exists() and free >= size + beside + 2 * _low(total) and _allocate(path, size):
                free -= size


def _low(total: int) -> int:
    return int(min(total * _LOW, _LOW_BYTES))


def _size(total: int) -> int:
    """Return how much is put aside in each file on a disk of `total` bytes."""
    size = min(BALLAST_BYTES, total // _SHARE)
    return size if size >= _LEAST else 0


def _allocate(path: Path, size: int) -> bool:
    """Make a file whose space is really taken; tell whether that was possible."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        partial.rename(path)
    except OSError as error:
        _log.warning("no %s in %s: %s", path.name, path.parent, error)
        with suppress(OSError):
            partial.unlink()
        return False
    return True


def refusal(folder: Path) -> DatabaseFull:
    """Say why a transaction was refused that frees nothing."""
    return DatabaseFull(f"the disk that holds {folder} is full, and what is left is for deletions; free some space")
