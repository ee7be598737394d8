"""The threads in which the store hashes, reads and writes, and how a task waits for them.

Hashing and file calls release the interpreter's lock, so they run beside the event loop and beside each other. There
are two pools because their work differs: bytes that arrive keep a core busy with their hash, a file call may wait for
the disk.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import CancelledError, Future
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

#: File calls at once: enough to let the disk merge the syncs of many pushes.
DISK_THREADS = 16


class Threads:
    """Two small pools, started when first used."""

    def __init__(self, disk: int = DISK_THREADS) -> None:
        """Size the pools for this machine, with at most `disk` file calls at once; no thread starts yet."""
        # Twice the cores: while one hashes, another may wait for its write.
        cores = len(os.sched_getaffinity(0))
        self._receiving = ThreadPoolExecutor(2 * cores, thread_name_prefix="blob-receive")
        self._disk = ThreadPoolExecutor(min(disk, DISK_THREADS), thread_name_prefix="blob-disk")

    def receive(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start work on bytes that arrived, which keeps a core busy."""
        return asyncio.get_running_loop().run_in_executor(self._receiving, function, *arguments)

    def disk(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start work that may wait for the disk."""
        return asyncio.get_running_loop().run_in_executor(self._disk, function, *arguments)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run work that may wait for the disk, to its end even when the task is cancelled."""
        future = self.disk(function, *arguments)
        await settled((future,))
        return future.result()

    def close(self) -> None:
        """Let running work end, and stop."""
        self._receiving.shutdown()
        self._disk.shutdown()


async def settled(work: Collection[Future[Any]]) -> None:
    """Wait until threads are done with their work, and only then let a cancellation of the task go on.

    A thread cannot be stopped: whoever closed its file or gave up its lock earlier would do so under its hands.
    What the work raised stays with it.
    """
    cancelled: CancelledError | None = None
    while not all(future.done() for future in work):
        try:
            await asyncio.wait(work)
        except CancelledError as error:
            cancelled = error
    if cancelled is not None:
        for future in work:
            future.exception()  # seen, so that asyncio does not report it as lost
        raise cancelled
