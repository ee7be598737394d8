"""What adapters that keep files have in common."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: A stream that is no longer than this is written by one trip to a thread.
_AT_ONCE = 1024 * 1024


def sync_file_system(path: Path) -> None:
    """Put everything that was written to the file system of `path` on the disk. Blocks, for long perhaps.

    Raises:
        OSError: Something could not be written.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if function(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The permission bits of new files and folders, before the umask."""

    file: int
    folder: int


async def write_whole(draft: Path, target: Path, pieces: AsyncIterator[bytes], modes: Modes) -> int:
    """Write a stream to a draft and give it its name in one step; return its bytes. Nothing stays when it fails.

    The draft's folder must be there; the target's is made. Nothing is synced.
    """
    writing = _Writing(draft, target, modes)
    held: list[bytes] = []
    waiting = size = 0
    try:
        async for piece in pieces:
            held.append(piece)
            waiting += len(piece)
            size += len(piece)
            if waiting > _AT_ONCE:
                await asyncio.to_thread(writing.write, held)
                held, waiting = [], 0
        await asyncio.to_thread(writing.finish, held)
    except BaseException:
        writing.drop()
        raise
    return size


class _Writing:
    """A file on its way. Its methods block."""

    def __init__(self, draft: Path, target: Path, modes: Modes) -> None:
        self._draft = draft
        self._target = target
        self._modes = modes
        self._file: int | None = None

    def write(self, pieces: list[bytes]) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self._draft, flags, self._modes.file)
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def finish(self, pieces: list[bytes]) -> None:
        self.write(pieces)
        self._close()
        try:
            self._draft.replace(self._target)
        except FileNotFoundError:
            self._target.parent.mkdir(mode=self._modes.folder, parents=True, exist_ok=True)
            self._draft.replace(self._target)

    def drop(self) -> None:
        """Leave nothing behind; short enough for the event loop."""
        with suppress(OSError):
            self._close()
            self._draft.unlink()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
