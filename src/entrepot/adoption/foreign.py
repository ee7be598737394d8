"""Noticing at a start that another registry has written to the folder since we last looked.

Blobs appear and go in a few hundred folders. The time of their last change is remembered while a server runs; a later
one at the next start asks for a closer look: which blobs are there that the metadata do not know, and which known ones
are gone. An unknown blob that no link of the folder names is what a crash of our own left, and no trace of anybody.
Tags that were moved between old images leave no trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.presence import Presence, Seen
from entrepot.adoption.report import Problem
from entrepot.adoption.tree import Tree
from entrepot.metadata import blobs, collecting, manifests, outbox, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.oci.digest import Digest

_SEEN_KEY = "folder-seen"
_FOREIGN_KEY = "folder-has-foreign-writes"
_BLOBS_A_PIECE = 500
#: A push that is going on writes its file before its row.
_PUSH_SECONDS = 2.0
#: More unknown blobs than a crash leaves behind: whose they are need not be looked up.
_MOST_LOOKED_FOR = 500


@dataclass(slots=True)
class Foreign:
    """What another registry did, as far as blobs show it."""

    unknown: int = 0
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True, slots=True)
class ForeignWrites:
    """Looks for traces of another registry."""

    metadata: Database
    tree: Tree

    async def look(self) -> Foreign:
        """Say what changed since `remember`, and make blobs missing whose bytes are gone."""
        found = Foreign()
        remembered = await settings.find(self.metadata, _SEEN_KEY)
        if remembered is not None and await self._newest() > int(remembered):
            found.unknown = await self._count_unknown(int(remembered))
            found.seen = await Presence(self.metadata, self.tree).check()
        if found.unknown or found.seen.lost:
            await self.metadata.write(_set_foreign, name="folder changed")
        return found

    async def find_unknown(self) -> int:
        """Count the blobs since `remember` that the metadata do not know, and note it if there are any."""
        remembered = int(await settings.find(self.metadata, _SEEN_KEY) or 0)
        unknown = await self._count_unknown(remembered) if await self._newest() > remembered else 0
        if unknown:
            await self.metadata.write(_set_foreign, name="folder changed")
        return unknown

    async def waiting(self) -> bool:
        """Tell whether somebody has written what nobody has taken in since."""
        return await settings.find(self.metadata, _FOREIGN_KEY) is not None

    async def settle(self) -> None:
        """Note that everything has been taken in."""
        await self.remember()
        await self.metadata.write(lambda tx: settings.remove(tx, _FOREIGN_KEY), name="folder settled")

    async def remember(self) -> None:
        """Count everything that is there by now as seen."""
        newest = str(await self._newest())

        async def put(tx: Transaction) -> None:
            await settings.put(tx, _SEEN_KEY, newest)

        if await settings.find(self.metadata, _SEEN_KEY) != newest:
            await self.metadata.write(put, name="folder seen")

    async def _count_unknown(self, since: int) -> int:
        unknown = await self._unknown(self.tree.blobs_since(since))
        if unknown:
            await asyncio.sleep(_PUSH_SECONDS)
        unknown = await self._unknown(unknown)
        going = await self._going() if unknown else set()
        unknown = [digest for digest in unknown if str(digest) not in going]
        if len(unknown) > _MOST_LOOKED_FOR:
            return len(unknown)
        return len(await asyncio.to_thread(self._linked, set(unknown))) if unknown else 0

    async def _going(self) -> set[str]:
        """Return what we removed ourselves, and whose links are still to go: a crash may have come in between."""
        return {name async for entry in outbox.waiting(self.metadata) for name in entry.names}

    def _linked(self, digests: set[Digest]) -> set[Digest]:
        """Return those of `digests` that the links of some repository name."""
        found: set[Digest] = set()
        for name in self.tree.names():
            if not isinstance(name, Problem):
                links = RepositoryLinks(self.tree, name)
                found |= {one for one in digests if links.has_revision(one) or links.layer(one) is not None}
        return found

    async def _newest(self) -> int:
        return await asyncio.to_thread(self.tree.newest_shard)

    async def _unknown(self, digests: Iterable[Digest]) -> list[Digest]:
        found: list[Digest] = []
        walk = iter(digests)
        while some := await asyncio.to_thread(lambda: list(islice(walk, _BLOBS_A_PIECE))):
            names = [str(digest) for digest in some]
            known = await manifests.known_contents(self.metadata, names)
            known |= await blobs.known(self.metadata, names)
            known |= await collecting.shared_keys(self.metadata, names)
            found += [digest for digest in some if str(digest) not in known]
        return found


async def _set_foreign(tx: Transaction) -> None:
    await settings.put(tx, _FOREIGN_KEY, "yes")
