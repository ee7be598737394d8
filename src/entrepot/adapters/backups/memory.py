"""Backups in memory, for tests: the folder's twin, which keeps every promise but durability."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from entrepot.backup.errors import PieceMissing, TargetBusy

_PIECE = 64 * 1024


class MemoryTarget:
    """Pieces in a dictionary."""

    def __init__(self) -> None:
        """Begin with none."""
        self.pieces: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    def close(self) -> None:
        """Let go of it."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Store a piece."""
        content = b"".join([piece async for piece in pieces])
        self.pieces[name] = content
        return len(content)

    async def get(self, name: str) -> AsyncGenerator[bytes, None]:
        """Read a piece."""
        content = self.pieces.get(name)
        if content is None:
            raise PieceMissing(name)
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]

    async def size(self, name: str) -> int | None:
        """Return a piece's bytes."""
        content = self.pieces.get(name)
        return None if content is None else len(content)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """Walk names."""
        for name in list(self.pieces):
            if name.startswith(prefix):
                yield name

    async def delete(self, name: str) -> None:
        """Remove a piece."""
        self.pieces.pop(name, None)

    async def settle(self) -> None:
        """Do nothing: nothing here survives a power cut."""

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock."""
        if self._lock.locked():
            raise TargetBusy
        async with self._lock:
            yield
