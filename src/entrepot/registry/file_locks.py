"""Who may do something to a folder: of several processes on it, one at a time.

A turn is the lock of a file. The kernel gives it back when its process dies, however it dies, and keeps it while the
process merely stands still: nobody who was stopped in the middle of something wakes up beside a successor.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from entrepot.registry.layout import OWN

#: Writing registry:2's files. What is to be written is read from the metadata and then written; two who did that at
#: once could end with the older of two states in the files.
PROJECTION: Final = "projection.lock"
#: Taking bytes away that nothing needs, and bringing in bytes that somebody else left in the folder.
COLLECTION: Final = "collection.lock"
#: Going on with the analysis at hand: how far it is stands in one row.
ANALYSIS: Final = "analysis.lock"
_POLL_SECONDS = 0.02


@asynccontextmanager
async def turn(root: Path, name: str, *, patience: float | None = None) -> AsyncIterator[None]:
    """Wait for the turn to do what `name` stands for, and keep it during the block.

    Raises:
        TimeoutError: Somebody else kept it for longer than `patience`, in seconds.
    """
    path = root / OWN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        await _wait(descriptor, name, patience)
        yield
    finally:
        os.close(descriptor)


async def _wait(descriptor: int, name: str, patience: float | None) -> None:
    try:
        async with asyncio.timeout(patience):
            await _lock(descriptor)
    except TimeoutError:
        message = f"another process has held {name} for {patience:.0f} s; is an entrepot process stopped?"
        raise TimeoutError(message) from None


async def _lock(descriptor: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return
