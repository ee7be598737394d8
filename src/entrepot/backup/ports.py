"""What backups need from the world outside: a place for pieces.

Implementations are interchangeable: tests/contracts/test_backup_target.py is their definition.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from entrepot.oci.digest import Digest
from entrepot.registry.ports import StoredBlob


class BackupTarget(Protocol):
    """Pieces by name. Names are made of lower-case letters, digits, `.`, `-` and `/`, and never begin with a `/`.

    Every method may raise, besides what it names itself:
        InsufficientStorage: There is no more room.
        TargetFailed: It cannot be read or written.
    """

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Store what comes under a name, in place of what has it; return how many bytes that were.

        A reader sees all of it or nothing. What `pieces` raises is raised again, and nothing is stored. Until `settle`
        a power cut may take it away or cut it short.
        """
        ...

    def get(self, name: str) -> AsyncGenerator[bytes, None]:
        """Read a piece, some bytes at a time.

        Raises:
            PieceMissing: There is none of this name.
        """
        ...

    async def size(self, name: str) -> int | None:
        """Return how many bytes a piece has; None when there is none of this name."""
        ...

    def names(self, prefix: str) -> AsyncIterator[str]:
        """Walk the names that begin with `prefix`, in no promised order. It ends with a `/`, or is empty."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a piece; does nothing when there is none."""
        ...

    async def settle(self) -> None:
        """Make everything that was put so far survive a power cut."""
        ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Be the only one who changes the target during the block; also of all machines, as far as it can tell.

        Raises:
            TargetBusy: Somebody else is.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class BlobSink(Protocol):
    """A place that blobs are restored to: many at a time, none of them needed before all are there."""

    def key(self, key: str, digest: Digest) -> str:
        """Say under which key a blob lies here, whose key was `key` in the registry that was backed up."""
        ...

    async def find(self, key: str) -> StoredBlob | None:
        """Describe what lies under a blob's key; None when nothing does."""
        ...

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read what lies under a key."""
        ...

    async def put(self, key: str, pieces: AsyncIterator[bytes]) -> StoredBlob:
        """Store a blob under its key, whole or not at all; what `pieces` raises is raised again."""
        ...

    async def settle(self) -> None:
        """Make everything that was put so far survive a power cut."""
        ...
