"""Moving blobs from one store into another, while nodes that read both serve.

Each blob is copied as a push would bring it, verified by its digest on the way, and then its row names the copy: a row
that changed meanwhile keeps what it says. Rows show what is left, so a move that was broken off goes on, and one that
is run again finds nothing to do. The old copies stay where they are.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Database
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, DigestInvalid, RegistryError
from entrepot.registry.ports import BlobStore, StoredBlob, UploadProgress
from entrepot.telemetry.progress import Progress

_ROWS: Final = 100
_AT_ONCE: Final = 4


@dataclass(slots=True, kw_only=True)
class MoveTally:
    """What a move did."""

    moved: int = 0
    moved_bytes: int = 0
    there: int = 0  #: blobs that were in the new store already
    lost: int = 0  #: blobs that neither store has, as it was known before
    failed: int = 0  #: blobs that could not be moved; they stay where they are


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageMove:
    """Moves all blobs into `store` that only `other` has."""

    metadata: Database
    store: BlobStore
    other: BlobStore

    async def run(self, progress: Progress) -> MoveTally:
        """Move what is left.

        Raises:
            Stopped: Somebody asked for an end.
            Unavailable: One of the stores does not answer.
        """
        tally, last, done = MoveTally(), 0, 0
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(row: StoredRow) -> None:
            async with turns:
                await self._one(row, tally, progress)

        while rows := await blobs.stored(self.metadata, after=last, limit=_ROWS):
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    group.create_task(one(row))
            last, done = rows[-1].id, done + len(rows)
            await progress.step(done)
        return tally

    async def _one(self, row: StoredRow, tally: MoveTally, progress: Progress) -> None:
        if await _has(self.store, row.storage_key, row.size):
            tally.there += 1
            return
        if row.state in blobs.LOST:
            tally.lost += 1
            return
        try:
            copy = await self._copy(row)
        except (BlobUnknown, DigestInvalid) as error:
            tally.failed += 1
            await progress.say(f"{row.digest} cannot be moved: {error}")
            return
        if await self.metadata.write(partial(blobs.move, seen=row, copy=_place(copy)), name="move blob"):
            tally.moved += 1
            tally.moved_bytes += copy.size
        elif self.store.has_state:
            await self.store.delete(copy.key)  # it went, or was pushed again, meanwhile

    async def _copy(self, row: StoredRow) -> StoredBlob:
        """Bring a blob as a push does; its bytes have the digest, or it is none."""
        digest, upload = Digest.parse(row.digest), secrets.token_urlsafe(24)
        known: UploadProgress | None = await self.store.start_upload(upload)
        try:
            known = await self.store.append(upload, self._bytes(row), offset=0, algorithm=digest.algorithm, known=known)
            known = await self.store.seal(upload, digest, known=known)
            return await self.store.publish(upload, digest, known=known)
        except RegistryError:
            await self.store.cancel_upload(upload, known=known)
            raise

    async def _bytes(self, row: StoredRow) -> AsyncIterator[bytes]:
        async with aclosing(self.other.stream(row.storage_key, 0, row.size)) as pieces:
            async for piece in pieces:
                yield piece


async def _has(store: BlobStore, key: str, size: int) -> bool:
    try:
        return (await store.stat(key)).size == size
    except (BlobUnknown, DigestInvalid):
        return False


def _place(copy: StoredBlob) -> blobs.Place:
    return blobs.Place(copy.key, copy.inode, copy.mtime_ns, copy.etag)
