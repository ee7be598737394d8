"""Backups in a folder: on another disk, on a network share, on anything that is mounted."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from entrepot.adapters.disk import Modes, sync_file_system, write_whole
from entrepot.backup.errors import PieceMissing, TargetBusy, TargetFailed
from entrepot.oci.errors import InsufficientStorage

_LOCK = ".lock"
_DRAFTS = ".drafts"
_PIECE = 1024 * 1024
_PRIVATE = Modes(file=0o600, folder=0o700)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FolderTarget:
    """Pieces as files, readable by nobody else: a backup holds hashes of passwords and tokens."""

    def __init__(self, root: Path, *, create: bool = False) -> None:
        """Open a folder; blocks.

        Args:
            root: The folder.
            create: Whether to make it when it is not there.

        Raises:
            TargetFailed: It is not there, or cannot be used.
        """
        self._root = root.absolute()
        with _translated(str(root)):
            if create:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._root.is_dir():
                raise TargetFailed(f"there is no folder {root}")
            (self._root / _DRAFTS).mkdir(mode=0o700, exist_ok=True)

    def close(self) -> None:
        """Let go of it."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Store a piece."""
        with _translated(name):
            draft = self._root / _DRAFTS / secrets.token_hex(8)
            return await write_whole(draft, self._root / name, pieces, _PRIVATE)

    async def get(self, name: str) -> AsyncGenerator[bytes, None]:
        """Read a piece."""
        with _translated(name):
            file = await asyncio.to_thread((self._root / name).open, "rb", buffering=0)
            try:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece
            finally:
                file.close()

    async def size(self, name: str) -> int | None:
        """Return a piece's bytes."""
        with suppress(PieceMissing), _translated(name):
            return (await asyncio.to_thread((self._root / name).stat)).st_size
        return None

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """Walk names, folder by folder."""
        folders = [prefix.rstrip("/")]
        while folders:
            folder = folders.pop()
            with _translated(folder):
                found = await asyncio.to_thread(_listed, self._root / folder)
            for name, is_folder in found:
                below = f"{folder}/{name}" if folder else name
                if is_folder:
                    folders.append(below)
                else:
                    yield below

    async def delete(self, name: str) -> None:
        """Remove a piece, and the folders that it leaves empty."""
        with _translated(name):
            await asyncio.to_thread(self._remove, self._root / name)

    async def settle(self) -> None:
        """Sync the file system."""
        with _translated(str(self._root)):
            await asyncio.to_thread(sync_file_system, self._root)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock of the folder; drafts that a process left when it died are removed."""
        with _translated(_LOCK):
            lock = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TargetBusy(f"another process is changing {self._root}; try again when it is done") from None
            await asyncio.to_thread(self._remove_drafts)
            yield
        finally:
            os.close(lock)

    def _remove_drafts(self) -> None:
        for draft in (self._root / _DRAFTS).iterdir():
            draft.unlink(missing_ok=True)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            while path.parent != self._root:
                path = path.parent
                path.rmdir()


def _listed(folder: Path) -> list[tuple[str, bool]]:
    """List a folder: names, and whether each is a folder; hidden ones, which are our own, apart."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise PieceMissing(name) from None
    except OSError as error:
        if error.errno in _FULL:
            raise InsufficientStorage("there is no room left for the backup") from error
        raise TargetFailed(f"the backup's folder failed at {name}: {error.strerror}") from error
