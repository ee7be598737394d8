"""Who writes registry:2's files: of several processes on one folder, one at a time.

What is to be written is read from the metadata and then written. Two who did that at once could end with the older of
two states in the files: a job worker that lost its lease without noticing, or `entrepot layout write` beside a server.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from entrepot.registry.layout import OWN

FILE_NAME = "projection.lock"
_POLL_SECONDS = 0.02


@asynccontextmanager
async def turn(root: Path) -> AsyncIterator[None]:
    """Wait for the turn to read what is to be written and to write it; the kernel gives it back when we die."""
    path = root / OWN / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        await _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


async def _lock(descriptor: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return
