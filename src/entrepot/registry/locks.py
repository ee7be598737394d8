"""Who may do something: of all processes of a registry, one at a time.

A lock is given back when its process dies, however it dies, and kept while the process merely stands still: nobody who
was stopped in the middle of something wakes up beside a successor. In a folder of one machine it is the lock of a file
(`registry.file_locks`); over several machines it belongs to a connection to PostgreSQL.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

#: Writing registry:2's files. What is to be written is read from the metadata and then written; two who did that at
#: once could end with the older of two states in the files.
PROJECTION: Final = "projection.lock"
#: Taking bytes away that nothing needs, and bringing in bytes that somebody else left in the folder.
COLLECTION: Final = "collection.lock"
#: Going on with the analysis at hand: how far it is stands in one row.
ANALYSIS: Final = "analysis.lock"


class Locks(Protocol):
    """The locks of one registry."""

    def turn(self, name: str, *, patience: float | None = None) -> AbstractAsyncContextManager[None]:
        """Wait for the turn to do what `name` stands for, and keep it during the block.

        Raises:
            TimeoutError: Somebody else kept it for longer than `patience`, in seconds.
        """
        ...

    def claim(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Claim something by its name for the time of the block, without waiting; False when somebody else has it.

        There may be very many names. Those that share a lock wait for each other, which costs nothing but time.
        """
        ...

    async def drop_claims(self) -> None:
        """Remove what claims leave behind, when nothing is left to be claimed."""
        ...
