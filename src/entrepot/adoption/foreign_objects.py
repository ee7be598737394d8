"""Noticing that another registry writes to a bucket that is ours.

Our own blobs lie under names of their own, so whatever is younger than our note among registry:2's blobs, and no row
speaks of, was put there by somebody else. To list all of them at once would cost what is stored; so one part of 256 is
looked at now and then, each within a day, and the collection tells of what it meets, before it takes anything away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from entrepot.adoption.ports import Foreign
from entrepot.metadata import clock, settings
from entrepot.metadata.contents import blobs, manifests
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import collection
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

_log = logging.getLogger(__name__)

_BEGAN_KEY: Final = "bucket-ours-since"
_LOOKED_KEY: Final = "bucket-looked-at"
_FOREIGN_KEY: Final = "bucket-has-foreign-writes"
_SHARDS: Final = 256
#: Each part is looked at once in so many seconds.
_ROUND: Final = 24 * 3600.0
_ROWS_A_PIECE: Final = 1000


class PlacedBlobs(Protocol):
    """What is asked of a bucket. Everything blocks."""

    @property
    def place(self) -> str:
        """Name it for people."""
        ...

    def ours_since(self) -> int:
        """Say when the bucket became ours, in microseconds since the epoch by its own clock."""
        ...

    def in_shard(self, first: str) -> list[StoredBlob]:
        """List registry:2's blobs whose digests, of SHA-256, begin with these two figures."""
        ...


@dataclass(frozen=True, slots=True)
class ForeignObjects:
    """Looks for what another registry has put into a bucket."""

    metadata: Database
    bucket: PlacedBlobs

    async def begin(self) -> None:
        """Count everything that is there by now as seen, unless that was done before."""
        since = await asyncio.to_thread(self.bucket.ours_since)
        await self.metadata.write(lambda tx: settings.add(tx, _BEGAN_KEY, str(since)), name="bucket seen")

    async def look(self) -> Foreign:
        """Look at the part whose time has come."""
        found = Foreign()
        if await settings.find(self.metadata, _BEGAN_KEY) is None:
            await self.begin()  # there was nothing to adopt
        turn, at = _turn(await settings.find(self.metadata, _LOOKED_KEY))
        if at <= clock.now() < at + int(_ROUND / _SHARDS * clock.MICROSECONDS):
            return found
        files = await asyncio.to_thread(self.bucket.in_shard, f"{turn:02x}")
        found.unknown = len(await self.theirs(files))
        said = f"{(turn + 1) % _SHARDS} {clock.now()}"
        await self.metadata.write(lambda tx: settings.put(tx, _LOOKED_KEY, said), name="bucket looked at")
        return found

    async def theirs(self, files: Sequence[StoredBlob]) -> set[str]:
        """Return the keys of those that somebody else has put there since the bucket is ours, and remember that."""
        since = await self.since()
        young = [
            file.key for file in files if not layout.is_object(file.key) and file.placed_at and file.placed_at > since
        ]
        unknown = await self._unknown(young) if young and since else set[str]()
        if unknown and not await self.waiting():
            await self.metadata.write(_set_foreign, name="bucket changed")
            _log.warning(await self.remedy(), extra={"unknown_blobs": len(unknown)})
        return unknown

    async def waiting(self) -> bool:
        """Tell whether somebody has written what nobody has taken in since."""
        return await settings.find(self.metadata, _FOREIGN_KEY) is not None

    async def remedy(self) -> str:
        """Say what has come to be there that is still to be taken in, and how."""
        return (
            f"another registry has written to the bucket {self.bucket.place}; stop it, then take in what is there: "
            "entrepot adopt --delta --config FILE, with the configuration of the registry"
        )

    async def remember(self) -> None:
        """Do as `look`, for whoever keeps an eye on the bucket; what is ours needs no remembering."""
        await self.look()

    async def since(self) -> int:
        """Say when all that was there was known, in microseconds since the epoch; 0 when that was never."""
        return int(await settings.find(self.metadata, _BEGAN_KEY) or 0)

    async def settle(self) -> None:
        """Note that everything has been taken in."""
        now = clock.now()

        async def work(tx: Transaction) -> None:
            await settings.put(tx, _BEGAN_KEY, str(now))
            await settings.remove(tx, _FOREIGN_KEY)

        await self.metadata.write(work, name="bucket settled")

    async def pull_back(self) -> None:
        """Have nothing to forget: times are the store's."""

    async def _unknown(self, digests: Collection[str]) -> set[str]:
        names, found = sorted(digests), set[str]()
        for start in range(0, len(names), _ROWS_A_PIECE):
            some = names[start : start + _ROWS_A_PIECE]
            known = await manifests.known_contents(self.metadata, some)
            known |= await blobs.known(self.metadata, some)
            known |= await collection.shared_keys(self.metadata, some)
            found.update(set(some) - known)
        return found


def _turn(said: str | None) -> tuple[int, int]:
    number, _, at = (said or "0 0").partition(" ")
    return int(number) % _SHARDS, int(at)


async def _set_foreign(tx: Transaction) -> None:
    await settings.put(tx, _FOREIGN_KEY, "yes")
