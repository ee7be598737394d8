"""The way of uploaded bytes: while one batch is hashed and written in a thread, the next is received."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from entrepot.adapters.blobs.direct import cut_at_block
from entrepot.adapters.blobs.hashers import LiveHash
from entrepot.adapters.blobs.threads import Threads, settled
from entrepot.adapters.blobs.upload_file import UploadFile
from entrepot.oci.errors import RegistryError

_PARTS = 128
#: So many parts make a batch, however small they are: each takes some fifty bytes beside its own.
_MOST_PARTS = 4096


class Pipeline:
    """Writes batches to an upload's file and hashes them, one batch behind the receiver."""

    def __init__(self, threads: Threads, file: UploadFile, live: LiveHash | None) -> None:
        """Write to `file`, and hash with `live` if there is a hasher that has seen all before."""
        self._threads = threads
        self._file = file
        self._live = live
        self._running: tuple[Future[None], ...] = ()
        self._failed = False

    async def run(self, chunks: AsyncIterator[bytes], batch_size: Callable[[], int]) -> None:
        """Store all chunks; those that came before an abort too, so that the client can go on from there."""
        batch: list[bytes | memoryview] = []
        waiting = 0
        end = self._file.size
        try:
            async for chunk in chunks:
                if chunk:
                    batch.append(chunk)
                waiting += len(chunk)
                end += len(chunk)
                if waiting >= batch_size() or len(batch) >= _MOST_PARTS:
                    await self._settle()
                    rest = cut_at_block(batch, end)
                    self._start(batch)
                    batch, waiting = rest, sum(map(len, rest))
        except BaseException:
            with suppress(RegistryError):  # what ended the upload says more
                await self._finish(batch)
            raise
        await self._finish(batch)

    async def _finish(self, batch: list[bytes | memoryview]) -> None:
        await self._settle()
        if not self._failed:
            self._start(batch)
            await self._settle()

    def _start(self, batch: list[bytes | memoryview]) -> None:
        if not batch:
            return
        # A few parts are hashed and written as they are, which saves copying them; many would be many calls.
        parts = batch if len(batch) <= _PARTS else [b"".join(batch)]
        if self._live is not None and self._file.passes_cache(sum(map(len, parts))):
            # The disk does most of the writing: a hash costs a core as long, and need not wait for it.
            self._running = (self._threads.receive(self._live.update, parts),)
            # Second: if there is no thread for one of them, nothing is left that writes to a file about to be closed.
            self._running += (self._threads.disk(self._file.write, parts),)
        else:
            self._running = (self._threads.receive(self._store, parts),)

    async def _settle(self) -> None:
        """Wait for the batch in the threads, and raise what it raised."""
        running, self._running = self._running, ()
        if not running:
            return
        try:
            await settled(running)
        finally:
            self._failed = self._failed or any(work.exception() is not None for work in running)
        for work in running:
            work.result()

    def _store(self, parts: list[bytes | memoryview]) -> None:
        # One after the other: both keep a core busy, and a thread for each, often on two, costs more than it saves.
        if self._live is not None:
            self._live.update(parts)
        self._file.write(parts)
