"""Whether the nodes of a registry share one folder, and see in time what the others do there.

Each node gives a file a new name with every sign of life, and notes its number in its row. The others look for that
name, and for the next one, which is not there yet: so it is known how long a name that was missed stays unseen.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from entrepot.metadata.nodes import Node
from entrepot.registry import layout

A = TypeVar("A")
T = TypeVar("T")

#: So long the names of others may stay unseen; the blob store waits as long for a blob (`adapters.blobs`).
PATIENCE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.2
_KEPT_SECONDS: Final = 24 * 3600.0
_FOLDER: Final = f"{layout.OWN}/nodes"


class FolderNotShared(Exception):
    """Another node's names are not seen in the folder."""


class SharedFolder:
    """The names of one node, and its look at those of the others; all of it waits for no disk for long."""

    def __init__(self, root: Path, node: str) -> None:
        """Write nothing yet.

        Args:
            root: The folder of the blobs.
            node: What this node is called.
        """
        self._folder = root / _FOLDER
        self._own = _file_name(node)
        self._missed: dict[str, float] = {}

    async def show(self, number: int) -> None:
        """Give this node's file the name of a number.

        Raises:
            OSError: The folder takes no files now; TimeoutError when it says nothing.
        """
        await _in_time(self._show, number)

    async def unseen(self, others: Sequence[Node]) -> list[str]:
        """Name those whose files are not seen although they said so for longer than the patience.

        Raises:
            OSError: As `show`.
        """
        wanted = {node.name: int(node.figures["probe"]) for node in others if node.figures.get("probe")}
        missing = await _in_time(self._missing, wanted)
        now = time.monotonic()
        self._missed = {name: self._missed.get(name, now) for name in missing}
        return sorted(name for name, since in self._missed.items() if now - since > PATIENCE_SECONDS)

    def complaint(self, unseen: Sequence[str]) -> str:
        """Say what is wrong when the files of these nodes are not seen, and what helps."""
        return unshared(unseen, self._folder)

    async def require(self, others: Sequence[Node]) -> None:
        """Wait until the files of all others are seen.

        Raises:
            FolderNotShared: One is not, within the patience; the text says what to do.
            OSError: As `show`.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        names = [node.name for node in others if node.figures.get("probe")]
        while missing := await _in_time(self._strange, names):
            if time.monotonic() > deadline:
                raise FolderNotShared(unshared(missing, self._folder))
            await asyncio.sleep(_PAUSE_SECONDS)

    def _show(self, number: int) -> None:
        if number == 1:
            self._begin()
        temporary = self._folder / f".{self._own}.new"
        temporary.write_bytes(b"")
        temporary.replace(self._folder / f"{self._own}.{number}")
        with suppress(FileNotFoundError):
            (self._folder / f"{self._own}.{number - 2}").unlink()

    def _begin(self) -> None:
        """Take away what an earlier start left, and what nodes did that are gone for long."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in list(self._folder.iterdir()):
            with suppress(FileNotFoundError):
                if file.name.rpartition(".")[0] == self._own or time.time() - file.stat().st_mtime > _KEPT_SECONDS:
                    file.unlink()

    def _missing(self, wanted: dict[str, int]) -> list[str]:
        missing = []
        for name, number in wanted.items():
            path = self._folder / f"{_file_name(name)}.{number}"
            if not path.exists():
                missing.append(name)
            (path.parent / f"{_file_name(name)}.{number + 1}").exists()  # looked for before it is there
        return missing

    def _strange(self, names: list[str]) -> list[str]:
        """Name those of whom nothing is seen."""
        with suppress(FileNotFoundError):
            there = {file.name.rpartition(".")[0] for file in self._folder.iterdir()}
            return [name for name in names if _file_name(name) not in there]
        return names


def unshared(names: Sequence[str], folder: Path) -> str:
    """Say what is wrong, and what helps."""
    return (
        f"what {', '.join(names)} has written to {folder} is not seen here within {PATIENCE_SECONDS:g} s. All nodes "
        "need the same folder. If it is, its file system keeps what it knows for too long: mount NFS with "
        "lookupcache=positive,actimeo=1"
    )


def _file_name(node: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"%{ord(found[0]):02x}", node)


async def _in_time(function: Callable[[A], T], argument: A) -> T:
    """Do something in a thread, and wait no longer than it may take."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await asyncio.to_thread(function, argument)
