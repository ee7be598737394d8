"""Copying blobs into a target: those that it has stay, and no wrong byte gets in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from entrepot.backup.catalogue import ListedBlob
from entrepot.backup.errors import PieceDamaged, PieceMissing
from entrepot.backup.sealed_pieces import Pieces
from entrepot.metadata.contents import blobs
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.database import Reader
from entrepot.oci.digest import Digest, new_hasher
from entrepot.registry.ports import BlobStore

_ROWS = 500


class BytesWrong(Exception):
    """The bytes that were read are not those of the digest."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A blob, and whether the target's piece of it was whole when somebody last looked."""

    row: StoredRow
    is_trusted: bool


@dataclass(slots=True)
class Copied:
    """What was copied."""

    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies blobs of a store."""

    store: BlobStore
    pieces: Pieces
    copied: Copied = field(default_factory=Copied)

    async def bring(self, wanted: Trusted) -> None:
        """Let the target have a blob.

        Raises:
            BlobUnknown: The store does not have it.
            BytesWrong: The store has other bytes under its digest.
            Unavailable: They cannot be read.
        """
        row = wanted.row
        digest = Digest.parse(row.digest)
        name = self.pieces.blob(digest)
        if await self.pieces.target.size(name) == self.pieces.stored_size(row.size) and (
            wanted.is_trusted or await holds(self.pieces, name, digest)
        ):
            return
        async with aclosing(verified(self.store.stream(row.storage_key, 0, row.size), digest)) as content:
            await self.pieces.put(name, content)
        self.copied.blobs += 1
        self.copied.bytes += row.size


async def verified(pieces: AsyncGenerator[bytes, None], digest: Digest) -> AsyncGenerator[bytes, None]:
    """Pass bytes on, and raise at their end unless they have the digest.

    Raises:
        BytesWrong: They have not.
    """
    hasher = new_hasher(digest.algorithm)
    async with aclosing(pieces):
        async for piece in pieces:
            hasher.update(piece)
            yield piece
    if hasher.hexdigest() != digest.encoded:
        raise BytesWrong


async def holds(pieces: Pieces, name: str, digest: Digest) -> bool:
    """Read a piece and tell whether it is the blob of a digest."""
    try:
        async with aclosing(verified(pieces.get(name), digest)) as content:
            async for _ in content:
                pass
    except (BytesWrong, PieceDamaged, PieceMissing):
        return False
    return True


async def rows_of(reader: Reader) -> AsyncGenerator[StoredRow, None]:
    """Walk all blobs in the order of their digests."""
    last = ""
    while rows := await blobs.stored_by_digest(reader, after=last, limit=_ROWS):
        for row in rows:
            yield row
        last = rows[-1].digest


async def compared(rows: AsyncIterator[StoredRow], known: AsyncIterator[ListedBlob]) -> AsyncGenerator[Trusted, None]:
    """Tell of each row whether it is in a list; both are in the order of their digests."""
    listed = await anext(known, None)
    async for row in rows:
        while listed is not None and str(listed.digest) < row.digest:
            listed = await anext(known, None)
        yield Trusted(row, listed is not None and str(listed.digest) == row.digest)
