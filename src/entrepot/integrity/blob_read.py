"""Reading a stored blob to its end and saying whether its bytes are the right ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

from entrepot.metadata.contents.blobs import StoredRow
from entrepot.oci.digest import Digest, new_hasher
from entrepot.oci.errors import BlobUnknown, Unavailable
from entrepot.registry.ports import BlobStore, StoredBlob

#: Told of every piece that was read, by its bytes; waits when that is too fast.
OnRead = Callable[[int], Awaitable[None]]


class Verdict(StrEnum):
    """What became of a blob."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"  #: the storage failed: nobody knows


@dataclass(frozen=True, slots=True)
class Read:
    """What the reading of a blob brought."""

    verdict: Verdict
    #: The file that was read, as it was before.
    file: StoredBlob | None = None
    detail: str = ""


async def nobody(_size: int) -> None:
    """Be told of a piece and wait for nothing."""


async def read_blob(store: BlobStore, row: StoredRow, on_read: OnRead = nobody) -> Read:
    """Read a blob's bytes and compare them with its digest."""
    file = None
    try:
        file = await store.stat(row.storage_key)
        actual = await _digest(store, row, file.size, on_read)
    except BlobUnknown:
        return Read(Verdict.MISSING, None, "there is no file")
    except Unavailable as error:
        return Read(Verdict.UNREADABLE, file, error.message)
    if str(actual) == row.digest:
        return Read(Verdict.WHOLE, file)
    return Read(Verdict.DAMAGED, file, f"the {file.size} bytes have the digest {actual}")


async def describe_blob(store: BlobStore, row: StoredRow) -> Read:
    """Look whether a blob's bytes are there, in the right number, without reading them."""
    try:
        file = await store.stat(row.storage_key)
    except BlobUnknown:
        return Read(Verdict.MISSING, None, "there is no file")
    except Unavailable as error:
        return Read(Verdict.UNREADABLE, None, error.message)
    if file.size != row.size:
        return Read(Verdict.DAMAGED, file, f"the file has {file.size} bytes in place of {row.size}")
    return Read(Verdict.WHOLE, file)


async def _digest(store: BlobStore, row: StoredRow, size: int, on_read: OnRead) -> Digest:
    """Hash a piece while the next one is being read."""
    algorithm = Digest.parse(row.digest).algorithm
    hasher = new_hasher(algorithm)
    hashing: asyncio.Future[None] | None = None
    loop = asyncio.get_running_loop()
    async with aclosing(store.stream(row.storage_key, 0, size)) as pieces:
        async for piece in pieces:
            if hashing is not None:
                await hashing
            hashing = loop.run_in_executor(None, hasher.update, piece)
            await on_read(len(piece))
    if hashing is not None:
        await hashing
    return Digest(algorithm, hasher.hexdigest())


class Pace:
    """Keeps a reader below a number of bytes a second."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep below `rate`; 0 for as fast as it goes."""
        self._rate = rate
        self._clock = clock
        self._free_at = 0.0

    async def took(self, size: int) -> None:
        """Count bytes that were read, and wait until more may be."""
        if self._rate <= 0:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + size / self._rate
        await asyncio.sleep(self._free_at - now)
