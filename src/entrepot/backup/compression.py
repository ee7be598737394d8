"""Compression of a stream."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

from entrepot.backup.errors import PieceDamaged

#: A database shrinks to a third at the lowest level, and hardly more at a high one.
_LEVEL = 1
_PIECE = 1024 * 1024


async def compress(content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Compress a stream (zlib)."""
    work = zlib.compressobj(_LEVEL)
    async for piece in content:
        if packed := await asyncio.to_thread(work.compress, piece):
            yield packed
    yield work.flush()


async def decompress(name: str, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Undo `compress`, in pieces of a bounded size.

    Raises:
        PieceDamaged: The stream is none of its results, or was cut.
    """
    work = zlib.decompressobj()
    try:
        async for piece in content:
            packed = piece
            while packed:
                plain = await asyncio.to_thread(work.decompress, packed, _PIECE)
                packed = work.unconsumed_tail
                if plain:
                    yield plain
    except zlib.error as error:
        raise PieceDamaged(name, f"it does not decompress: {error}") from None
    if not work.eof or work.unused_data:
        raise PieceDamaged(name, "it ends too early or too late")
