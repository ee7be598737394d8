"""What a collection works with and what it brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle.collection import ManifestUnderReview
from entrepot.oci.errors import RegistryError
from entrepot.registry.ports import BlobStore, StoredBlob


class CollectionOff(RegistryError):
    """Nothing is collected now."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a collection did so far."""

    reviewed: int = 0  #: entries of the queue
    manifests: int = 0  #: parts of something that went before
    blobs: int = 0
    files: int = 0  #: of manifests, and those that no row spoke of
    freed_bytes: int = 0
    failed: int = 0  #: whose bytes the store would not delete; they are tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionLimits:
    """How much is done at a time."""

    blobs: int = 200  #: by one transaction; a push of one of them waits until all have gone
    manifests: int = 20  #: by one transaction
    deletes: int = 16  #: of bytes, beside each other
    links: int = 500  #: blobs taken out of repositories by one transaction
    rate: float = 0.0  #: blobs a second at most; 0 for no limit


class Links(Protocol):
    """registry:2's files, of which the links go before the bytes."""

    async def catch_up(self, upto: int) -> None:
        """Write what the outbox asks for, up to an entry."""
        ...


class NoLinks:
    """A store beside which there are no link files."""

    async def catch_up(self, upto: int) -> None:
        """Do nothing."""


#: Says why nothing may be collected now; None when it may.
Gate = Callable[[], Awaitable[str | None]]
#: Says which of some files without a row another registry has put there, by their keys.
Theirs = Callable[[Sequence[StoredBlob]], Awaitable[Collection[str]]]
#: Gives the turn to take bytes away: of all processes on the store, one at a time.
Turn = Callable[[], AbstractAsyncContextManager[None]]
#: Takes a manifest away that only something needed which has gone; gives how many went, 0 when it stays after all.
Leave = Callable[[Transaction, ManifestUnderReview], Awaitable[int]]


async def nobody() -> None:
    """Tell nobody."""


async def nobodys(_files: Sequence[StoredBlob]) -> Collection[str]:
    """Know of no other registry."""
    return ()


async def always() -> str | None:
    """Let everything be collected at any time."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """What all parts of a collection share."""

    metadata: Database
    store: BlobStore
    grace_seconds: float
    turn: Turn
    leave: Leave
    links: Links = field(default_factory=NoLinks)
    gate: Gate = always
    #: Told when bytes were taken away: what changed in the store by that is our own doing.
    swept: Callable[[], Awaitable[None]] = nobody
    #: Says which of these files another registry has put there: they are none to be taken away.
    theirs: Theirs = nobodys
    limits: CollectionLimits = field(default_factory=CollectionLimits)

    async def require_open(self) -> None:
        """Go on only if something may be collected now.

        Raises:
            CollectionOff: With the reason.
        """
        reason = await self.gate()
        if reason is not None:
            raise CollectionOff(reason)
