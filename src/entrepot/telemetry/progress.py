"""What a long piece of work tells whoever watches, and how it learns that it should end.

Collection, retention, scrubs and backups take a `Progress` and know nothing of who watches: the job that runs them, a
command at a terminal, or nobody.
"""

from __future__ import annotations

from typing import Protocol


class Stopped(Exception):
    """Somebody asked for the work to end; what was done so far stays done."""


class Progress(Protocol):
    """Watches one piece of work."""

    async def step(self, done: int, total: int | None = None) -> None:
        """Say how far the work is, at a point where it may end: between two batches, in no transaction.

        Args:
            done: Units finished so far, whatever the work counts.
            total: All there will be, when that is known.

        Raises:
            Stopped: The work should end here.
        """
        ...

    async def say(self, message: str) -> None:
        """Add a line to the log of the work, for people; never a secret."""
        ...


class Unwatched:
    """Progress that nobody looks at and nobody stops."""

    async def step(self, done: int, total: int | None = None) -> None:
        """Do nothing."""

    async def say(self, message: str) -> None:
        """Do nothing."""
