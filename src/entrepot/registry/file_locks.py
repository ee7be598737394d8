"""Locks of files in a folder (`Locks` says what for): the kernel gives one back when its process dies."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

#: The folder of the claims; those of repositories that are being adopted.
CLAIMS: Final = "adopting"
_POLL_SECONDS = 0.02


class FileLocks:
    """The locks of the processes of one machine; `Locks` says what the methods do."""

    def __init__(self, folder: Path) -> None:
        """Name the folder of the files; it is made when the first is asked for."""
        self._folder = folder

    @asynccontextmanager
    async def turn(self, name: str, *, patience: float | None = None) -> AsyncIterator[None]:
        """Wait for the turn, by the lock of a file of that name."""
        with _opened(self._folder / name) as descriptor:
            await _wait(descriptor, name, patience)
            yield

    @asynccontextmanager
    async def claim(self, name: str) -> AsyncIterator[bool]:
        """Claim something by the lock of one of a few hundred files, which its name chooses."""
        with _opened(self._folder / CLAIMS / hashlib.sha256(name.encode()).hexdigest()[:2]) as descriptor:
            yield _lock(descriptor)

    async def drop_claims(self) -> None:
        """Remove the files of claims."""
        await asyncio.to_thread(shutil.rmtree, self._folder / CLAIMS, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _wait(descriptor: int, name: str, patience: float | None) -> None:
    try:
        async with asyncio.timeout(patience):
            while not _lock(descriptor):  # noqa: ASYNC110 - a lock between processes has no event to wait for
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        message = f"another process has held {name} for {patience:.0f} s; is an entrepot process stopped?"
        raise TimeoutError(message) from None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
